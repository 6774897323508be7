/** The service's clock, learnt from `state` answers. Deadlines of rings are on this clock. */

export class ServiceClock {
  #offset_ms: number | undefined;
  readonly #local: () => number;

  constructor(local: () => number = Date.now) {
    this.#local = local;
  }

  /** Takes what an earlier page has learnt, until this one learns better. */
  restore(offset_ms: number | undefined): void {
    this.#offset_ms ??= offset_ms;
  }

  /** Whether the service has ever told its time. */
  get isKnown(): boolean {
    return this.#offset_ms !== undefined;
  }

  get offset_ms(): number | undefined {
    return this.#offset_ms;
  }

  now_ms(): number {
    return this.#local() + (this.#offset_ms ?? 0);
  }

  /** Takes the time of an answer: the middle of its way is when the service read its clock. */
  learn(service_now_ms: number, asked_at_ms: number, answered_at_ms: number): void {
    this.#offset_ms = Math.round(service_now_ms - (asked_at_ms + answered_at_ms) / 2);
  }

  local_now_ms(): number {
    return this.#local();
  }
}
