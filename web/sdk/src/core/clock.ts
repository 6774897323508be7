/**
 * The service's clock. It is learnt from answers that contain it, and kept by this device's monotonic clock, which is
 * never set.
 *
 * Known is it only from a short round trip on the present connection, and only until this device's two clocks disagree:
 * then either the wall clock was set, or the device slept while the monotonic clock stood. Until it is learnt again, and
 * from an earlier page, there is a guess. By a guess nothing is decided.
 */

/** What this device reads of time; `monotonicMs` counts from any moment and never back. */
export interface LocalClock {
  wallMs(): number;
  monotonicMs(): number;
}

export const LOCAL: LocalClock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

/** When a question was asked. */
export interface Asked {
  atMs: number;
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
  offsetMs: number;
  roundTripMs: number;
  atMs: number;
}

export class ServiceClock {
  readonly #local: LocalClock;
  #learnt: Learnt | undefined;
  /** The service's clock less the wall clock, as last seen. */
  #guessMs: number | undefined;
  /** The same less the monotonic one, from before a jump or from a slow answer: one of the two guesses holds. */
  #otherGuessMs: number | undefined;
  /** The wall clock less the monotonic one when last looked at. */
  #apartMs: number;
  #jumps = 0;

  constructor(local: LocalClock = LOCAL) {
    this.#local = local;
    this.#apartMs = this.#apart();
  }

  /** Takes what an earlier page has learnt, as a guess. */
  restore(offsetMs: number | undefined): void {
    this.#guessMs ??= offsetMs;
  }

  get isKnown(): boolean {
    this.#look();
    return this.#learnt !== undefined;
  }

  /** What the service's clock is ahead of the wall clock, for the next page to guess by. */
  get offsetMs(): number | undefined {
    return this.#learnt ? this.#learnt.offsetMs - this.#apart() : this.#guessMs;
  }

  /** Milliseconds since 1970; of two guesses the later one, so that what goes by it is not late. */
  nowMs(): number {
    this.#look();
    const monotonicMs = this.#local.monotonicMs();
    if (this.#learnt) return Math.round(monotonicMs + this.#learnt.offsetMs);
    const guessMs = this.#local.wallMs() + (this.#guessMs ?? 0);
    return Math.round(Math.max(guessMs, monotonicMs + (this.#otherGuessMs ?? Number.NEGATIVE_INFINITY)));
  }

  wallMs(): number {
    return this.#local.wallMs();
  }

  ask(): Asked {
    this.#look();
    return { atMs: this.#local.monotonicMs(), jumps: this.#jumps };
  }

  /** Takes the time of an answer: the middle of its way is when the service read its clock. */
  learn(serviceNowMs: number, asked: Asked): void {
    this.#look();
    const atMs = this.#local.monotonicMs();
    const roundTripMs = atMs - asked.atMs;
    const offsetMs = serviceNowMs - (asked.atMs + atMs) / 2;
    if (asked.jumps !== this.#jumps) return;
    if (roundTripMs > ROUND_TRIP_MAX_MS) this.#guess(offsetMs);
    else if (this.#isBetter(roundTripMs, atMs)) this.#learnt = { offsetMs, roundTripMs, atMs };
  }

  /** What was learnt is a guess again: on a new connection, or since the service says that it is wrong. */
  doubt(): void {
    if (!this.#learnt) return;
    const { offsetMs } = this.#learnt;
    this.#learnt = undefined;
    this.#guess(offsetMs);
  }

  /** Whether the two clocks have jumped apart since this question. */
  hasJumpedSince(asked: Asked): boolean {
    this.#look();
    return asked.jumps !== this.#jumps;
  }

  #look(): void {
    const apartMs = this.#apart();
    if (Math.abs(apartMs - this.#apartMs) > JUMP_MS) this.#jumped();
    this.#apartMs = apartMs;
  }

  #jumped(): void {
    this.#jumps += 1;
    const guessMs = this.#learnt?.offsetMs ?? (this.#guessMs === undefined ? undefined : this.#guessMs + this.#apartMs);
    this.#learnt = undefined;
    if (guessMs === undefined) return;
    this.#guessMs = guessMs - this.#apartMs;
    this.#otherGuessMs = Math.max(guessMs, this.#otherGuessMs ?? guessMs);
  }

  #guess(offsetMs: number): void {
    if (this.#learnt) return;
    this.#guessMs = offsetMs - this.#apart();
    this.#otherGuessMs = undefined;
  }

  #isBetter(roundTripMs: number, atMs: number): boolean {
    const best = this.#learnt;
    return !best || roundTripMs <= best.roundTripMs || atMs - best.atMs > GOOD_FOR_MS;
  }

  #apart(): number {
    return this.#local.wallMs() - this.#local.monotonicMs();
  }
}
