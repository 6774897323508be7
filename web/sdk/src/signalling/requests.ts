/** Requests and their answers: puts on the envelope, posts, and pairs what comes back by `in_reply_to`. */

import type { ServiceClock } from "../core/clock.ts";
import { ConvokeError, refusal } from "../core/errors.ts";
import { uuidv7 } from "../core/ids.ts";
import type { Down, DownOf, MeetingId, SignalId, Up, UpBody } from "../wire.ts";
import type { Outbox } from "./outbox.ts";

const SCHEMA_VERSION = 1;
const REQUEST_TTL_MS = 30_000;
/** For questions whose answer is stale by then anyway. */
const QUESTION_TTL_MS = 8_000;
const QUESTIONS = new Set<UpBody["type"]>(["state", "contacts", "roster", "join"]);

type Answer = Exclude<Down, DownOf<"refused">>;

interface Waiting {
  resolve(answer: Answer): void;
  reject(error: ConvokeError): void;
}

export class Requests {
  readonly #outbox: Outbox;
  readonly #clock: ServiceClock;
  readonly #waiting = new Map<SignalId, Waiting>();

  constructor(outbox: Outbox, clock: ServiceClock) {
    this.#outbox = outbox;
    this.#clock = clock;
  }

  /** Resolves when the service's broker has the request; what follows comes as signals. */
  tell(body: UpBody, meeting?: MeetingId): Promise<void> {
    const up = this.#envelop(body, meeting);
    return this.#post(up);
  }

  /**
   * Resolves with the answer.
   *
   * # Errors
   * `refused_…` as the service says, `no_answer_from_service`, or what the way there raises.
   */
  ask(body: UpBody, meeting?: MeetingId): Promise<Answer> {
    const up = this.#envelop(body, meeting);
    return new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(up.id, { resolve, reject });
      const giveUp = (error: unknown) => {
        this.#waiting.delete(up.id);
        reject(error);
      };
      setTimeout(() => giveUp(new ConvokeError("no_answer_from_service", body.type)), ttl_ms(body));
      this.#post(up).catch(giveUp);
    });
  }

  /** Takes an answer to where it is waited for; false if nobody waits, or not any more: one request may have several. */
  answer(signal: Down): boolean {
    const request = signal.in_reply_to;
    const waiting = request ? this.#waiting.get(request) : undefined;
    if (!request || !waiting) return false;
    this.#waiting.delete(request);
    if (signal.type === "refused") waiting.reject(refusal(signal.code, signal.words));
    else waiting.resolve(signal);
    return true;
  }

  #envelop(body: UpBody, meeting: MeetingId | undefined): Up {
    const sent_at_ms = this.#clock.local_now_ms();
    const expires_at_ms = this.#clock.now_ms() + ttl_ms(body);
    return { v: SCHEMA_VERSION, id: uuidv7(), meeting, sent_at_ms, expires_at_ms, ...body };
  }

  #post(up: Up): Promise<void> {
    return this.#outbox.post(`meeting-up/${up.type}`, JSON.stringify(up), ttl_ms(up));
  }
}

function ttl_ms(body: UpBody): number {
  return QUESTIONS.has(body.type) ? QUESTION_TTL_MS : REQUEST_TTL_MS;
}
