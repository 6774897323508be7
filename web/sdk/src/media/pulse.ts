/**
 * Whether a media path still carries anything, judged by what comes in on it alone: the server may have been killed, or
 * started again, behind a path that seems to stand.
 */

import { steadyTimer } from "../core/timer.ts";

export interface PulseShell {
  /** Rises as long as anything comes in. */
  signs(): Promise<number>;
  /** Nothing may come in but the answers to the browser's own checks. */
  isQuiet?(): boolean;
  /** Something comes in, or nothing has for a while. */
  flows(flows: boolean): void;
  /** Nothing has come in for so long that the path is dead, whatever the browser says. */
  dead(): void;
}

export const LOOK_EVERY_MS = 400;
/** Without a sign for so long it does not flow. */
export const STILL_MS = 1_100;
/** Without a sign for so long it is dead. */
export const DEAD_MS = 3_000;
/** The same where signalling was lost too, and is back: the server has probably died. */
export const DEAD_WHEN_PROBED_MS = 900;
/** On a quiet path signs are up to 6 s apart (RFC 7675). */
export const QUIET_MS = 6_000;

export class Pulse {
  readonly #shell: PulseShell;
  #stop: (() => void) | undefined;
  #signs: number | undefined;
  /** When something came in last, by this page's clock. */
  #sign_ms = 0;
  #isProbing = false;
  /** Counts starts, so that a look that began before the last one comes to nothing. */
  #turn = 0;

  constructor(shell: PulseShell) {
    this.#shell = shell;
  }

  /** Begins anew, as if something had just come in. */
  start(): void {
    this.stop();
    this.#sign_ms = performance.now();
    this.#isProbing = false;
    const turn = this.#turn;
    const timer = steadyTimer();
    const id = timer.set(() => void this.#look(turn), LOOK_EVERY_MS);
    this.#stop = () => timer.clear(id);
    void this.#look(turn);
  }

  /** Sooner takes the path for dead, until something comes in. */
  probe(): void {
    this.#isProbing = true;
    if (this.#stop) void this.#look(this.#turn);
  }

  stop(): void {
    this.#turn += 1;
    this.#stop?.();
    this.#stop = this.#signs = undefined;
  }

  async #look(turn: number): Promise<void> {
    const signs = await this.#shell.signs();
    if (turn !== this.#turn) return;
    const before = this.#signs;
    this.#signs = signs;
    if (before !== undefined) this.#judge(signs !== before);
  }

  #judge(flows: boolean): void {
    const now_ms = performance.now();
    if (flows) {
      this.#sign_ms = now_ms;
      this.#isProbing = false;
    }
    const still_ms = now_ms - this.#sign_ms;
    const quiet_ms = this.#shell.isQuiet?.() ? QUIET_MS : 0;
    const patience_ms = this.#isProbing ? DEAD_WHEN_PROBED_MS : DEAD_MS + quiet_ms;
    if (flows || still_ms >= STILL_MS + quiet_ms) this.#shell.flows(flows);
    if (still_ms >= patience_ms) this.#shell.dead();
  }
}
