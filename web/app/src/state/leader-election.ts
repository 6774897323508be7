/** The election of one tab among many by the browser's locks. Where it has none, each tab is on its own. */

type Locks = LockManager | null | undefined;

/** Asks for a lock, and holds it until the returned function is called. */
export function holdLock(locks: LockManager, name: string, mode: LockMode, held: () => void): () => void {
  const left = new AbortController();
  const { signal } = left;
  const untilLeft = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const hold = () => {
    if (!signal.aborted) held();
    return untilLeft;
  };
  locks.request(name, { signal, mode }, hold).catch(() => {});
  return () => left.abort();
}

/** The leader does what all candidates would do at once, until it is closed or withdraws; then the next one leads. */
export class LeaderElection {
  readonly #changed: () => void;
  readonly #locks: Locks;
  #name: string | undefined;
  #isLeader = false;
  #leave = () => {};

  constructor(changed: () => void = () => {}, locks: Locks = globalThis.navigator?.locks) {
    this.#changed = changed;
    this.#locks = locks;
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  /** Makes this tab a candidate under this name, in place of another one; `undefined` withdraws it. */
  standFor(name: string | undefined): void {
    if (name === this.#name) return;
    this.#name = name;
    this.#leave();
    this.#leave = () => {};
    this.#set(name !== undefined && !this.#locks);
    if (name && this.#locks) this.#leave = holdLock(this.#locks, name, "exclusive", () => this.#set(true));
  }

  #set(isLeader: boolean): void {
    if (isLeader === this.#isLeader) return;
    this.#isLeader = isLeader;
    this.#changed();
  }
}
