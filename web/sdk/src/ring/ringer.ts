/**
 * Lets stored rings ring, and be confirmed by the state answer.
 *
 * A ring that has begun ends when the service says so. Its own deadline only makes the terminal ask; if the service
 * cannot be reached then, the ring is missed: it must not go on for a call that nobody knows to stand.
 */

import type { ServiceClock } from "../core/clock.ts";
import type { InvitationId, MeetingId, Ring, State } from "../wire.ts";
import type { RingBook, RingSignal } from "./book.ts";
import type { RingEffect, RingStop } from "./rules.ts";

export interface RingerShell {
  ring(ring: Ring): void;
  stop(invitation: InvitationId, reason: RingStop): void;
  declineAgain(invitation: InvitationId, meeting: MeetingId): void;
  /** Asks the service what stands and confirms by it; false if it does not answer. */
  refresh(): Promise<boolean>;
}

/** A longer timer would fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** A ring past its deadline is asked about again so often; and so long a lost connection may take to come back. */
const ASK_AGAIN_MS = 10_000;

export class Ringer {
  readonly #book: RingBook;
  readonly #clock: ServiceClock;
  readonly #shell: RingerShell;
  readonly #deadlines = new Map<InvitationId, ReturnType<typeof setTimeout>>();

  constructor(book: RingBook, clock: ServiceClock, shell: RingerShell) {
    this.#book = book;
    this.#clock = clock;
    this.#shell = shell;
  }

  /** Resolves once stored, with what is to be shown after the acknowledgement. */
  async receive(signal: RingSignal, dup: boolean): Promise<() => void> {
    const effect = await this.#book.receive(signal, dup);
    return () => this.#show(effect);
  }

  async confirm(state: State): Promise<void> {
    for (const effect of await this.#book.confirm(state)) this.#show(effect);
  }

  async declined(invitation: InvitationId): Promise<void> {
    this.#show(await this.#book.declined(invitation));
  }

  async settled(invitation: InvitationId): Promise<void> {
    this.#show(await this.#book.settled(invitation));
  }

  /** The service does not answer: rings that are on time ring, rather than none. */
  ringUnconfirmed(): void {
    for (const ring of this.#book.standing()) this.#ring(ring);
  }

  #show(effect: RingEffect): void {
    if (effect.do === "ring") this.#ring(effect.ring);
    if (effect.do === "decline_again") this.#shell.declineAgain(effect.ring.invitation, effect.ring.meeting);
    if (effect.do !== "stop") return;
    clearTimeout(this.#deadlines.get(effect.invitation));
    this.#deadlines.delete(effect.invitation);
    this.#shell.stop(effect.invitation, effect.reason);
  }

  #ring(ring: Ring): void {
    const left_ms = ring.ring_until_ms - this.#clock.now_ms();
    this.#askIn(left_ms > 0 ? left_ms : ASK_AGAIN_MS, ring.invitation, true);
    this.#shell.ring(ring);
  }

  #askIn(wait_ms: number, invitation: InvitationId, patient: boolean): void {
    clearTimeout(this.#deadlines.get(invitation));
    const timer = setTimeout(() => void this.#deadline(invitation, patient), Math.min(wait_ms, TIMER_MAX_MS));
    this.#deadlines.set(invitation, timer);
  }

  /** The answer stops the ring, or lets it go on and be asked about again. */
  async #deadline(invitation: InvitationId, patient: boolean): Promise<void> {
    if (await this.#shell.refresh()) return;
    if (patient) return this.#askIn(ASK_AGAIN_MS, invitation, false);
    this.#show(await this.#book.deadline(invitation));
  }
}
