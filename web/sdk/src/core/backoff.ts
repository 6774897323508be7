/**
 * Waiting times between attempts: they grow, are randomised so that clients do not return together, and end only with
 * success.
 */

export interface BackoffSteps {
  /** The wait before each attempt; the last one repeats. */
  stepsMs: readonly number[];
  /** A wait is changed by at most this part of itself, up or down. */
  jitter: number;
}

export const SIGNALLING_STEPS: BackoffSteps = {
  stepsMs: [1_000, 1_000, 2_000, 4_000, 8_000, 15_000],
  jitter: 0.8,
};
export const MEDIA_STEPS: BackoffSteps = { stepsMs: [300, 700, 1_500, 2_000], jitter: 0.5 };
/** In a call or a ring, a server that is away is asked this often. */
export const URGENT_EVERY_MS = 2_000;

export class Backoff {
  #attempt = 0;
  readonly #steps: BackoffSteps;
  readonly #random: () => number;

  constructor(steps: BackoffSteps, random: () => number = Math.random) {
    this.#steps = steps;
    this.#random = random;
  }

  get attempt(): number {
    return this.#attempt;
  }

  nextMs(): number {
    const { stepsMs, jitter } = this.#steps;
    const base = stepsMs[Math.min(this.#attempt, stepsMs.length - 1)] ?? 0;
    this.#attempt += 1;
    return Math.round(base * (1 + jitter * (2 * this.#random() - 1)));
  }

  reset(): void {
    this.#attempt = 0;
  }
}
