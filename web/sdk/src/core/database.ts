/**
 * A wrapper of IndexedDB: promises, strict writes, and a limit to every wait.
 *
 * A browser may fail at any moment: the disk is full, the person clears what the site keeps, another page wants the
 * database to itself, or no answer comes at all. Each of these rejects; what to do instead is the caller's matter.
 */

/** A transaction takes milliseconds; one that takes so long may never end. */
export const DATABASE_TIMEOUT_MS = 3_000;

export class Database {
  readonly #db: IDBDatabase;
  #isOpen = true;

  private constructor(db: IDBDatabase, onClosed: (db: Database) => void) {
    this.#db = db;
    const closed = () => {
      if (this.#isOpen) onClosed(this);
      this.close();
    };
    db.onclose = closed;
    db.onversionchange = closed;
  }

  /**
   * Opens the database of that name, made by `create` if there is none. `onClosed` is called when the browser has closed
   * it, or wants it closed. This one may never resolve: see {@link within}.
   */
  static open(
    factory: IDBFactory,
    name: string,
    create: (db: IDBDatabase) => void,
    onClosed: (db: Database) => void = () => {},
  ): Promise<Database> {
    return new Promise((resolve, reject) => {
      const request = factory.open(name, 1);
      request.onupgradeneeded = () => create(request.result);
      request.onsuccess = () => resolve(new Database(request.result, onClosed));
      request.onerror = () => reject(request.error);
    });
  }

  read<T>(name: string, ask: (store: IDBObjectStore) => IDBRequest): Promise<T> {
    return within(
      DATABASE_TIMEOUT_MS,
      new Promise((resolve, reject) => {
        const request = ask(this.#db.transaction(name, "readonly").objectStore(name));
        request.onsuccess = () => resolve(request.result as T);
        request.onerror = () => reject(request.error);
      }),
    );
  }

  /** Resolves when the browser says that it is on disk (`durability: "strict"`). All stores of `names`, or none. */
  write(names: readonly string[], change: (store: (name: string) => IDBObjectStore) => unknown): Promise<void> {
    return within(
      DATABASE_TIMEOUT_MS,
      new Promise((resolve, reject) => {
        const transaction = this.#db.transaction(names, "readwrite", { durability: "strict" });
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
        change((name) => transaction.objectStore(name));
      }),
    );
  }

  close(): void {
    this.#isOpen = false;
    this.#db.close();
  }
}

/** Rejects after `limitMs`; what comes later all the same goes to `late`. */
export function within<T>(limitMs: number, work: Promise<T>, late: (value: T) => void = () => {}): Promise<T> {
  return new Promise((resolve, reject) => {
    let over = false;
    const timer = setTimeout(() => {
      over = true;
      reject(new Error(`the browser's storage did not answer within ${limitMs} ms`));
    }, limitMs);
    work.then(
      (value) => {
        clearTimeout(timer);
        if (over) late(value);
        else resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** Absent where the browser keeps nothing for this page; some throw at the mere question. */
export function browserDatabases(): IDBFactory | undefined {
  try {
    return globalThis.indexedDB ?? undefined;
  } catch {
    return undefined;
  }
}
