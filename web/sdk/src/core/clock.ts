/**
 * The service's clock. It is learnt from answers that tell it, and kept by this device's monotonic clock, which nobody
 * sets.
 *
 * Known is it only from a short round trip on the present connection, and only until this device's two clocks disagree:
 * then either the wall clock was set, or the device slept while the monotonic clock stood. Until it is learnt again, and
 * from an earlier page, there is a guess. By a guess nothing is decided.
 */

/** What this device reads of time; `monotonic_ms` counts from any moment and never back. */
export interface LocalClock {
  wall_ms(): number;
  monotonic_ms(): number;
}

export const LOCAL: LocalClock = { wall_ms: () => Date.now(), monotonic_ms: () => performance.now() };

/** When a question was asked. */
export interface Asked {
  at_ms: number;
  /** A jump between question and answer makes their distance unknown. */
  jumps: number;
}

/** An answer that took longer says too little about when it was made. */
const ROUND_TRIP_MAX_MS = 2_000;
/** The two clocks drift apart by less than this between two looks. */
const JUMP_MS = 2_000;
/** Clocks drift: after so long any short round trip is better than the shortest. */
const GOOD_FOR_MS = 600_000;

interface Learnt {
  /** The service's clock less the monotonic one. */
  offset_ms: number;
  round_trip_ms: number;
  at_ms: number;
}

export class ServiceClock {
  readonly #local: LocalClock;
  #learnt: Learnt | undefined;
  /** The service's clock less the wall clock, as last seen. */
  #guess_ms: number | undefined;
  /** The same less the monotonic one, from before a jump or from a slow answer: one of the two guesses holds. */
  #other_guess_ms: number | undefined;
  /** The wall clock less the monotonic one when last looked at. */
  #apart_ms: number;
  #jumps = 0;

  constructor(local: LocalClock = LOCAL) {
    this.#local = local;
    this.#apart_ms = this.#apart();
  }

  /** Takes what an earlier page has learnt, as a guess. */
  restore(offset_ms: number | undefined): void {
    this.#guess_ms ??= offset_ms;
  }

  get isKnown(): boolean {
    this.#look();
    return this.#learnt !== undefined;
  }

  /** What the service's clock is ahead of the wall clock, for the next page to guess by. */
  get offset_ms(): number | undefined {
    return this.#learnt ? this.#learnt.offset_ms - this.#apart() : this.#guess_ms;
  }

  /** Milliseconds since 1970; of two guesses the later one, so that what goes by it is not late. */
  now_ms(): number {
    this.#look();
    const monotonic_ms = this.#local.monotonic_ms();
    if (this.#learnt) return Math.round(monotonic_ms + this.#learnt.offset_ms);
    const guess_ms = this.#local.wall_ms() + (this.#guess_ms ?? 0);
    return Math.round(Math.max(guess_ms, monotonic_ms + (this.#other_guess_ms ?? Number.NEGATIVE_INFINITY)));
  }

  wall_ms(): number {
    return this.#local.wall_ms();
  }

  ask(): Asked {
    this.#look();
    return { at_ms: this.#local.monotonic_ms(), jumps: this.#jumps };
  }

  /** Takes the time of an answer: the middle of its way is when the service read its clock. Returns how long it took. */
  learn(service_now_ms: number, asked: Asked): number {
    this.#look();
    const at_ms = this.#local.monotonic_ms();
    const round_trip_ms = at_ms - asked.at_ms;
    const offset_ms = service_now_ms - (asked.at_ms + at_ms) / 2;
    if (asked.jumps !== this.#jumps) return round_trip_ms;
    if (round_trip_ms > ROUND_TRIP_MAX_MS) this.#guess(offset_ms);
    else if (this.#isBetter(round_trip_ms, at_ms)) this.#learnt = { offset_ms, round_trip_ms, at_ms };
    return round_trip_ms;
  }

  since(asked: Asked): number {
    return this.#local.monotonic_ms() - asked.at_ms;
  }

  /** What was learnt is a guess again: on a new connection, or since the service says that it is wrong. */
  doubt(): void {
    if (!this.#learnt) return;
    const { offset_ms } = this.#learnt;
    this.#learnt = undefined;
    this.#guess(offset_ms);
  }

  /** Whether the two clocks have jumped apart since this question. */
  hasJumpedSince(asked: Asked): boolean {
    this.#look();
    return asked.jumps !== this.#jumps;
  }

  #look(): void {
    const apart_ms = this.#apart();
    if (Math.abs(apart_ms - this.#apart_ms) > JUMP_MS) this.#jumped();
    this.#apart_ms = apart_ms;
  }

  #jumped(): void {
    this.#jumps += 1;
    const guess_ms =
      this.#learnt?.offset_ms ?? (this.#guess_ms === undefined ? undefined : this.#guess_ms + this.#apart_ms);
    this.#learnt = undefined;
    if (guess_ms === undefined) return;
    this.#guess_ms = guess_ms - this.#apart_ms;
    this.#other_guess_ms = Math.max(guess_ms, this.#other_guess_ms ?? guess_ms);
  }

  #guess(offset_ms: number): void {
    if (this.#learnt) return;
    this.#guess_ms = offset_ms - this.#apart();
    this.#other_guess_ms = undefined;
  }

  #isBetter(round_trip_ms: number, at_ms: number): boolean {
    const best = this.#learnt;
    return !best || round_trip_ms <= best.round_trip_ms || at_ms - best.at_ms > GOOD_FOR_MS;
  }

  #apart(): number {
    return this.#local.wall_ms() - this.#local.monotonic_ms();
  }
}
