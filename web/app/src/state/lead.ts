/**
 * What tabs settle by the browser's locks. Where it has none, each tab is on its own.
 */

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

/**
 * One tab among those that want to does what all would do at once. It leads until it is closed or does not want to any
 * more; then the next one does.
 */
export class Lead {
  readonly #changed: () => void;
  readonly #locks: Locks;
  #name: string | undefined;
  #leads = false;
  #leave = () => {};

  constructor(changed: () => void = () => {}, locks: Locks = globalThis.navigator?.locks) {
    this.#changed = changed;
    this.#locks = locks;
  }

  get leads(): boolean {
    return this.#leads;
  }

  /** Stands for the lead of those who stand under this name, or does not want to any more. */
  standFor(name: string | undefined): void {
    if (name === this.#name) return;
    this.#name = name;
    this.#leave();
    this.#leave = () => {};
    this.#set(name !== undefined && !this.#locks);
    if (name && this.#locks) this.#leave = holdLock(this.#locks, name, "exclusive", () => this.#set(true));
  }

  #set(leads: boolean): void {
    if (leads === this.#leads) return;
    this.#leads = leads;
    this.#changed();
  }
}
