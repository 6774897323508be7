/**
 * The store of ring entries: IndexedDB, one database per client id, with all of it in memory beside.
 *
 * A write resolves when the browser says that it is on disk: only then may the broker be told. Where the browser keeps
 * nothing, or stops to (a full disk, a database that is closed or does not answer), memory takes over with all that was
 * known: rather a ring that may come twice after a reload than none. The database is tried again now and then, and gets
 * the whole when it is back.
 */

import { browserDatabases, DATABASE_TIMEOUT_MS, Database, within } from "../core/database.ts";
import { fromWire, type InvitationId, toWire } from "../wire.ts";
import type { RingEntry } from "./rules.ts";

export interface RingStore {
  all(): Promise<RingEntry[]>;
  put(entry: RingEntry): Promise<void>;
  remove(invitations: readonly InvitationId[]): Promise<void>;
  /** What the service's clock was ahead of this device's, as last learnt. */
  offset(): Promise<number | undefined>;
  putOffset(offsetMs: number): Promise<void>;
  close(): void;
}

export interface RingStoreOptions {
  factory?: IDBFactory;
  /** Whether what is stored outlives the page: reported at each change, and at the start if it does not. */
  kept?: (kept: boolean) => void;
}

const RINGS = "rings";
const FACTS = "facts";
const OFFSET = "clock_offset_ms";
/** How long a database that has failed is left alone. */
const TRY_AGAIN_MS = 30_000;

/** The name of the database of one device. */
export function ringDatabase(clientId: string): string {
  return `convoke.${clientId}`;
}

/** Opens the store of one device. It never rejects, and none of its methods does. */
export async function openRingStore(clientId: string, options: RingStoreOptions = {}): Promise<RingStore> {
  const { factory = browserDatabases(), kept = () => {} } = options;
  const store = new KeptStore(ringDatabase(clientId), factory, kept);
  await store.open();
  return store;
}

export function memoryStore(): RingStore {
  return new KeptStore("", undefined, () => {});
}

class KeptStore implements RingStore {
  readonly #name: string;
  readonly #factory: IDBFactory | undefined;
  readonly #kept: (kept: boolean) => void;
  readonly #rings = new Map<InvitationId, RingEntry>();
  #offsetMs: number | undefined;
  #db: Database | undefined;
  /** One at a time: a browser that does not answer is not asked again meanwhile. */
  #opening: Promise<Database> | undefined;
  #isKept = true;
  #again: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(name: string, factory: IDBFactory | undefined, kept: (kept: boolean) => void) {
    this.#name = name;
    this.#factory = factory;
    this.#kept = kept;
  }

  async open(): Promise<void> {
    try {
      const db = await this.#connect();
      this.#db = db;
      const stored = await db.read<unknown[]>(RINGS, (store) => store.getAll());
      for (const entry of fromWire(stored) as RingEntry[]) this.#rings.set(entry.invitation, entry);
      this.#offsetMs = await db.read<number | undefined>(FACTS, (store) => store.get(OFFSET));
    } catch (cause) {
      this.#lose(cause);
    }
  }

  async all(): Promise<RingEntry[]> {
    return [...this.#rings.values()];
  }

  async put(entry: RingEntry): Promise<void> {
    this.#rings.set(entry.invitation, entry);
    await this.#write((store) => store(RINGS).put(toWire(entry)));
  }

  async remove(invitations: readonly InvitationId[]): Promise<void> {
    for (const invitation of invitations) this.#rings.delete(invitation);
    await this.#write((store) => {
      for (const invitation of invitations) store(RINGS).delete(invitation);
    });
  }

  async offset(): Promise<number | undefined> {
    return this.#offsetMs;
  }

  async putOffset(offsetMs: number): Promise<void> {
    this.#offsetMs = offsetMs;
    await this.#write((store) => store(FACTS).put(offsetMs, OFFSET));
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#again);
    this.#db?.close();
    this.#db = undefined;
  }

  async #write(change: (store: (name: string) => IDBObjectStore) => unknown): Promise<void> {
    const db = this.#db;
    try {
      await db?.write([RINGS, FACTS], change);
    } catch (cause) {
      // Another write may have found out before, and the database may even be back.
      if (db === this.#db) this.#lose(cause);
    }
  }

  #connect(): Promise<Database> {
    if (!this.#factory) return Promise.reject(new Error("there is no IndexedDB here"));
    this.#opening ??= this.#open(this.#factory).finally(() => {
      this.#opening = undefined;
    });
    return within(DATABASE_TIMEOUT_MS, this.#opening, (late) => void this.#regain(late));
  }

  #open(factory: IDBFactory): Promise<Database> {
    const create = (db: IDBDatabase) => {
      db.createObjectStore(RINGS, { keyPath: "invitation" });
      db.createObjectStore(FACTS);
    };
    return Database.open(factory, this.#name, create, (db) => {
      if (db === this.#db) this.#lose(new Error("the browser has closed the database"));
    });
  }

  #lose(cause: unknown): void {
    this.#db?.close();
    this.#db = undefined;
    if (this.#isClosed) return;
    this.#setKept(false, cause);
    if (this.#factory) this.#again = setTimeout(() => void this.#tryAgain(), TRY_AGAIN_MS);
  }

  async #tryAgain(): Promise<void> {
    try {
      await this.#regain(await this.#connect());
    } catch (cause) {
      this.#lose(cause);
    }
  }

  /** Everything is written again; what comes meanwhile is written after it. */
  async #regain(db: Database): Promise<void> {
    if (db === this.#db) return;
    if (this.#db || this.#isClosed) return db.close();
    clearTimeout(this.#again);
    this.#db = db;
    await this.#write((store) => {
      for (const entry of this.#rings.values()) store(RINGS).put(toWire(entry));
      if (this.#offsetMs !== undefined) store(FACTS).put(this.#offsetMs, OFFSET);
    });
    if (db === this.#db) this.#setKept(true);
  }

  #setKept(kept: boolean, cause?: unknown): void {
    if (kept === this.#isKept) return;
    this.#isKept = kept;
    if (!kept)
      console.warn("Convoke: this browser keeps no rings just now; a call may ring again after a reload.", cause);
    this.#kept(kept);
  }
}
