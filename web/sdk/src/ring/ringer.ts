/** Lets stored rings ring, stop at their deadline, and be confirmed by the state answer. */

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

  async admitted(invitation: InvitationId): Promise<void> {
    this.#show(await this.#book.admitted(invitation));
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
    const { invitation, ring_until_ms } = ring;
    clearTimeout(this.#deadlines.get(invitation));
    const left_ms = Math.min(Math.max(0, ring_until_ms - this.#clock.now_ms()), TIMER_MAX_MS);
    const timer = setTimeout(() => void this.#deadline(invitation), left_ms);
    this.#deadlines.set(invitation, timer);
    this.#shell.ring(ring);
  }

  /** At its deadline a ring stops, unless the service says that it stands longer. */
  async #deadline(invitation: InvitationId): Promise<void> {
    this.#deadlines.delete(invitation);
    const asked = await this.#shell.refresh();
    const until_ms = this.#book.entry(invitation)?.ring?.ring_until_ms ?? 0;
    if (asked && until_ms > this.#clock.now_ms()) return;
    this.#show(await this.#book.deadline(invitation));
  }
}
