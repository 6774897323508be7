/**
 * A monitor that judges by incoming data alone whether a media path still carries anything: the server may have been
 * killed, or started again, behind a path that seems to stand.
 */

import { steadyTimer } from "../core/timer.ts";

/** What the monitor reads, and where it reports. */
export interface PathMonitorContext {
  /** Rises as long as anything comes in. */
  signs(): Promise<number>;
  /** Nothing may come in but the answers to the browser's own checks. */
  isQuiet?(): boolean;
  /** Something comes in, or nothing has for a while. */
  receiving(isReceiving: boolean): void;
  /** Nothing has come in for so long that the path is dead, whatever the browser says. */
  dead(): void;
}

export const LOOK_EVERY_MS = 400;
/** Without a sign for so long nothing is received. */
export const STILL_MS = 1_100;
/** Without a sign for so long it is dead. */
export const DEAD_MS = 3_000;
/** The same where signalling was lost too, and is back: the server has probably ended. */
export const DEAD_WHEN_PROBED_MS = 900;
/** On a quiet path signs are up to 6 s apart (RFC 7675). */
export const QUIET_MS = 6_000;

export class PathMonitor {
  readonly #context: PathMonitorContext;
  #stop: (() => void) | undefined;
  #signs: number | undefined;
  /** When something came in last, by this page's clock. */
  #signMs = 0;
  #isProbing = false;
  /** Counts starts, so that a look that began before the last one comes to nothing. */
  #generation = 0;

  constructor(context: PathMonitorContext) {
    this.#context = context;
  }

  /** Restarts, as if something had just come in. */
  start(): void {
    this.stop();
    this.#signMs = performance.now();
    this.#isProbing = false;
    const generation = this.#generation;
    const timer = steadyTimer();
    const id = timer.set(() => void this.#look(generation), LOOK_EVERY_MS);
    this.#stop = () => timer.clear(id);
    void this.#look(generation);
  }

  /** Takes the path for dead sooner, until something comes in. */
  probe(): void {
    this.#isProbing = true;
    if (this.#stop) void this.#look(this.#generation);
  }

  stop(): void {
    this.#generation += 1;
    this.#stop?.();
    this.#stop = this.#signs = undefined;
  }

  async #look(generation: number): Promise<void> {
    const signs = await this.#context.signs();
    if (generation !== this.#generation) return;
    const before = this.#signs;
    this.#signs = signs;
    if (before !== undefined) this.#judge(signs !== before);
  }

  #judge(isReceiving: boolean): void {
    const nowMs = performance.now();
    if (isReceiving) {
      this.#signMs = nowMs;
      this.#isProbing = false;
    }
    const stillMs = nowMs - this.#signMs;
    const quietMs = this.#context.isQuiet?.() ? QUIET_MS : 0;
    const timeoutMs = this.#isProbing ? DEAD_WHEN_PROBED_MS : DEAD_MS + quietMs;
    if (isReceiving || stillMs >= STILL_MS + quietMs) this.#context.receiving(isReceiving);
    if (stillMs >= timeoutMs) this.#context.dead();
  }
}
