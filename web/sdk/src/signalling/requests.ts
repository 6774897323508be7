/** Requests and their answers: puts on the envelope, posts, and pairs each answer with its request by `inReplyTo`. */

import { LOCAL, type ServiceClock } from "../core/clock.ts";
import { ConvokeError, refusal } from "../core/errors.ts";
import { uuidv7 } from "../core/ids.ts";
import { type Down, type DownOf, type MeetingId, type SignalId, toWire, type Up, type UpBody } from "../wire.ts";
import type { Outbox } from "./outbox.ts";

const SCHEMA_VERSION = 1;
const REQUEST_TTL_MS = 30_000;
/** For questions whose answer is stale by then anyway. */
const QUESTION_TTL_MS: Partial<Record<UpBody["type"], number>> = {
  state: 8_000,
  contacts: 8_000,
  history: 8_000,
  join: 8_000,
  roster: 5_000,
};
/** These are not sent again when they are older than they may be: the person no longer expects them. */
const SOON_OR_NEVER = new Set<UpBody["type"]>(["create", "invite"]);
/** Requests that are remembered, to pair refusals with them; the oldest are forgotten first. */
const SENT_MAX = 256;

type Answer = Exclude<Down, DownOf<"refused">>;

interface Waiting {
  resolve(answer: Answer): void;
  reject(error: ConvokeError): void;
  posted(): void;
}

/** What was sent under one signal id. */
interface Sent {
  body: UpBody;
  meeting: MeetingId | undefined;
  /** It takes the place of one that was refused as expired. */
  again: boolean;
  /** When the person wanted it, by the monotonic clock. */
  madeMs: number;
}

/** What became of a signal: whose answer it is, and whether that has been seen to. */
export interface Taken {
  request?: UpBody["type"];
  isDone: boolean;
}

export class Requests {
  readonly #outbox: Outbox;
  readonly #clock: ServiceClock;
  /** Learns the service's clock again; resolves when that has succeeded or failed. */
  readonly #syncClock: () => Promise<unknown>;
  readonly #waiting = new Map<SignalId, Waiting>();
  readonly #sent = new Map<SignalId, Sent>();
  /** To be sent again, once the clock is learnt. */
  readonly #late = new Set<Sent>();

  constructor(outbox: Outbox, clock: ServiceClock, syncClock: () => Promise<unknown> = async () => {}) {
    this.#outbox = outbox;
    this.#clock = clock;
    this.#syncClock = syncClock;
  }

  /** Resolves when the service's broker has the request; what follows comes as signals. */
  send(body: UpBody, meeting?: MeetingId): Promise<void> {
    return this.#post(this.#envelop(made(body, meeting)));
  }

  /**
   * Resolves with the answer. `posted` is called when the service's broker has the request.
   *
   * # Errors
   * `refused_…` as the service says, `no_answer_from_service`, or what the way there raises.
   */
  ask(body: UpBody, meeting?: MeetingId, posted: () => void = () => {}): Promise<Answer> {
    return new Promise((resolve, reject) => this.#ask(made(body, meeting), { resolve, reject, posted }));
  }

  /**
   * Takes an answer to where it is waited for. One request may have several. What was refused as expired is sent again,
   * once and under another id, with what is learnt of the service's clock.
   */
  answer(signal: Down): Taken {
    const id = signal.inReplyTo ?? undefined;
    const sent = id ? this.#sent.get(id) : undefined;
    if (!id || !sent) return { isDone: false };
    const request = sent.body.type;
    if (signal.type === "refused" && signal.code === "expired" && mayGoAgain(sent)) {
      this.#sent.delete(id);
      void this.#again(id, sent);
      return { request, isDone: true };
    }
    return { request, isDone: this.#resolve(id, signal) };
  }

  /** Whether such a request is to be sent again. */
  isResending(type: UpBody["type"], meeting: MeetingId): boolean {
    return [...this.#late].some((sent) => sent.body.type === type && sent.meeting === meeting);
  }

  waitsFor(answer: Down): boolean {
    return this.#waiting.has(answer.inReplyTo ?? "");
  }

  /** Returns false if no request waits for it (any more). */
  #resolve(id: SignalId, signal: Down): boolean {
    const waiting = this.#waiting.get(id);
    if (!waiting) return false;
    this.#waiting.delete(id);
    if (signal.type === "refused") waiting.reject(refusal(signal.code, signal.words));
    else waiting.resolve(signal);
    return true;
  }

  #ask(sent: Sent, waiting: Waiting): void {
    const up = this.#envelop(sent);
    this.#waiting.set(up.id, waiting);
    const giveUp = (error: ConvokeError) => this.#waiting.delete(up.id) && waiting.reject(error);
    setTimeout(() => giveUp(new ConvokeError("no_answer_from_service", up.type)), ttlMs(up));
    this.#post(up).then(waiting.posted, giveUp);
  }

  async #again(id: SignalId, sent: Sent): Promise<void> {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    this.#late.add(sent);
    await this.#syncClock();
    this.#late.delete(sent);
    const again = { ...sent, again: true };
    if (waiting) return this.#ask(again, waiting);
    // Its outcome comes as signals, or not at all: no caller waits for its PUBACK any more.
    await this.#post(this.#envelop(again)).catch(() => {});
  }

  #envelop(sent: Sent): Up {
    const { body, meeting } = sent;
    const sentAtMs = this.#clock.wallMs();
    const expiresAtMs = this.#clock.nowMs() + ttlMs(body);
    const up = { v: SCHEMA_VERSION, id: uuidv7(), meeting, sentAtMs, expiresAtMs, ...body };
    this.#sent.set(up.id, sent);
    const [oldest] = this.#sent.keys();
    if (oldest !== undefined && this.#sent.size > SENT_MAX) this.#sent.delete(oldest);
    return up;
  }

  #post(up: Up): Promise<void> {
    return this.#outbox.post(`meeting-up/${up.type}`, JSON.stringify(toWire(up)), ttlMs(up));
  }
}

function made(body: UpBody, meeting: MeetingId | undefined): Sent {
  return { body, meeting, again: false, madeMs: LOCAL.monotonicMs() };
}

function mayGoAgain({ body, again, madeMs }: Sent): boolean {
  const isOld = SOON_OR_NEVER.has(body.type) && LOCAL.monotonicMs() - madeMs > ttlMs(body);
  return !again && !isOld;
}

function ttlMs(body: UpBody): number {
  return QUESTION_TTL_MS[body.type] ?? REQUEST_TTL_MS;
}
