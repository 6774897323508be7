/**
 * Whether a media path still carries anything, judged by what comes in on it alone: the server may have been killed, or
 * started again, behind a path that seems to stand.
 */

export interface PulseShell {
  /** Rises as long as anything comes in. */
  signs(): Promise<number>;
  /** Something has come in since the last look, or nothing has. */
  flows(flows: boolean): void;
  /** Nothing has come in for so long that the path is dead, whatever the browser says. */
  dead(): void;
}

export const LOOK_EVERY_MS = 1_500;
export const LOOKS_IN_VAIN = 4;
/** The same when signalling was lost too: the server has probably died. */
export const LOOKS_IN_VAIN_WHEN_SUSPECT = 2;

export class Pulse {
  readonly #shell: PulseShell;
  #timer: ReturnType<typeof setInterval> | undefined;
  #signs: number | undefined;
  #inVain = 0;
  #patience = LOOKS_IN_VAIN;
  /** Counts starts, so that a look that began before the last one comes to nothing. */
  #turn = 0;

  constructor(shell: PulseShell) {
    this.#shell = shell;
  }

  /** Begins anew; what has come in until now says nothing. */
  start(patience = LOOKS_IN_VAIN): void {
    this.stop();
    this.#patience = patience;
    const turn = this.#turn;
    void this.#look(turn);
    this.#timer = setInterval(() => void this.#look(turn), LOOK_EVERY_MS);
  }

  /** Doubts the path until something comes in, and sooner takes it for dead. */
  suspect(): void {
    if (!this.#timer) return;
    this.#shell.flows(false);
    this.start(LOOKS_IN_VAIN_WHEN_SUSPECT);
  }

  stop(): void {
    this.#turn += 1;
    clearInterval(this.#timer);
    this.#timer = this.#signs = undefined;
    this.#inVain = 0;
  }

  async #look(turn: number): Promise<void> {
    const signs = await this.#shell.signs();
    if (turn !== this.#turn) return;
    const before = this.#signs;
    this.#signs = signs;
    if (before !== undefined) this.#judge(signs !== before);
  }

  #judge(flows: boolean): void {
    this.#inVain = flows ? 0 : this.#inVain + 1;
    if (flows) this.#patience = LOOKS_IN_VAIN;
    this.#shell.flows(flows);
    if (this.#inVain >= this.#patience) this.#shell.dead();
  }
}
