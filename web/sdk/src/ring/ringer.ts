/**
 * The ringer: stored rings ring, and the state answer confirms them.
 *
 * A ring that has begun ends when the service says so. At its deadline the terminal asks, and again every 10 s as long as
 * the ring stands; if no answer comes within 10 s the ring is missed: it must not go on for a call that may be over.
 */

import type { ServiceClock } from "../core/clock.ts";
import type { InvitationId, MeetingId, Outcome, Ring } from "../wire.ts";
import type { RingBook, RingSignal, StateAnswer } from "./book.ts";
import type { RingEffect, RingStop } from "./rules.ts";

/** What the ringer tells its client, and asks of it. */
export interface RingerContext {
  ring(ring: Ring): void;
  stop(invitation: InvitationId, reason: RingStop): void;
  declineAgain(invitation: InvitationId, meeting: MeetingId): void;
  /** Asks the service what stands; `confirm` is called with the answer, if one comes. */
  refresh(): void;
}

/** A longer timer would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** A ring past its deadline that stands is asked about again after this. */
const ASK_AGAIN_MS = 10_000;
/** Without an answer for this long it is missed. */
const ANSWER_TIMEOUT_MS = 10_000;

export class Ringer {
  readonly #book: RingBook;
  readonly #clock: ServiceClock;
  readonly #context: RingerContext;
  readonly #deadlines = new Map<InvitationId, ReturnType<typeof setTimeout>>();
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor(book: RingBook, clock: ServiceClock, context: RingerContext) {
    this.#book = book;
    this.#clock = clock;
    this.#context = context;
  }

  /** Resolves once stored, with what is to be shown after the acknowledgement. */
  async receive(signal: RingSignal, dup: boolean): Promise<() => void> {
    const effect = await this.#book.receive(signal, dup);
    return () => this.#show(effect, this.#clock.nowMs());
  }

  /** Goes into a question for the state, to come back with its answer. */
  get known(): number {
    return this.#book.count;
  }

  /** What the answer leaves open needs one more: it may be held for that. */
  async confirm(answer: StateAnswer): Promise<void> {
    for (const effect of await this.#book.confirm(answer)) this.#show(effect, answer.state.nowMs);
    const leftOut = this.#book.leftOut(answer.state);
    this.#askAgainAbout(leftOut);
    if (leftOut.length === 0 && this.#book.leavesOpen(answer)) this.#context.refresh();
  }

  async declined(invitation: InvitationId): Promise<void> {
    this.#show(await this.#book.declined(invitation));
  }

  async decided(invitation: InvitationId): Promise<void> {
    this.#show(await this.#book.decided(invitation));
  }

  /** Stored before the service is told, so that it is not reported as missed again. */
  async seen(outcome: Outcome): Promise<void> {
    await this.#book.seen(outcome);
  }

  /** How a missed call stands here: `seen` here and perhaps not yet known to the service, `over` for another reason. */
  knows(outcome: Outcome): "seen" | "over" | "unseen" {
    const entry = this.#book.entry(outcome.invitation);
    if (entry?.phase !== "done" || entry.rev < outcome.rev) return "unseen";
    return entry.answer === "seen" ? "seen" : "over";
  }

  #show(effect: RingEffect, nowMs = this.#clock.nowMs()): void {
    if (effect.type === "ring") this.#ring(effect.ring, nowMs);
    if (effect.type === "hold") this.#context.refresh();
    if (effect.type === "decline_again") this.#context.declineAgain(effect.ring.invitation, effect.ring.meeting);
    if (effect.type !== "stop") return;
    clearTimeout(this.#deadlines.get(effect.invitation));
    this.#deadlines.delete(effect.invitation);
    this.#context.stop(effect.invitation, effect.reason);
  }

  #ring(ring: Ring, nowMs: number): void {
    const leftMs = ring.ringUntilMs - nowMs;
    this.#at(leftMs > 0 ? leftMs : ASK_AGAIN_MS, ring.invitation, () => this.#ask(ring.invitation));
    this.#context.ring(ring);
  }

  /** What rings goes on ringing, what is held stays held. */
  #askAgainAbout(leftOut: readonly InvitationId[]): void {
    clearTimeout(this.#again);
    if (leftOut.length > 0) this.#again = setTimeout(() => this.#context.refresh(), ASK_AGAIN_MS);
    for (const invitation of leftOut.filter((one) => this.#deadlines.has(one)))
      this.#at(ASK_AGAIN_MS, invitation, () => this.#ask(invitation));
  }

  /** The answer stops the ring, or lets it go on and be asked about again. */
  #ask(invitation: InvitationId): void {
    this.#at(ANSWER_TIMEOUT_MS, invitation, async () => this.#show(await this.#book.deadline(invitation)));
    this.#context.refresh();
  }

  #at(waitMs: number, invitation: InvitationId, run: () => void): void {
    clearTimeout(this.#deadlines.get(invitation));
    this.#deadlines.set(invitation, setTimeout(run, Math.min(waitMs, TIMER_MAX_MS)));
  }
}
