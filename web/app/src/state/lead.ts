/**
 * One tab among those that want to does what all would do at once. It leads until it is closed or does not want to any
 * more; then the next one does. The browser keeps order (Web Locks); where it cannot, every tab leads.
 */

export class Lead {
  readonly #changed: () => void;
  readonly #locks: LockManager | undefined;
  #name: string | undefined;
  #leads = false;
  #leave = () => {};

  constructor(changed: () => void, locks: LockManager | undefined = globalThis.navigator?.locks) {
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
    this.#set(false);
    this.#leave = name ? this.#stand(name) : () => {};
  }

  #stand(name: string): () => void {
    const left = new AbortController();
    const { signal } = left;
    const untilLeft = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    const lead = () => {
      if (!signal.aborted) this.#set(true);
      return untilLeft;
    };
    if (this.#locks) this.#locks.request(name, { signal }, lead).catch(() => {});
    else void lead();
    return () => left.abort();
  }

  #set(leads: boolean): void {
    if (leads === this.#leads) return;
    this.#leads = leads;
    this.#changed();
  }
}
