/**
 * Where ring entries are kept: IndexedDB, one database per client id.
 *
 * A write resolves when the browser says that it is on disk (`durability: "strict"`): only then may the broker be told.
 */

import type { InvitationId } from "../wire.ts";
import type { RingEntry } from "./rules.ts";

export interface RingStore {
  all(): Promise<RingEntry[]>;
  put(entry: RingEntry): Promise<void>;
  remove(invitations: readonly InvitationId[]): Promise<void>;
  /** What the service's clock was ahead of this device's, as last learnt. */
  offset(): Promise<number | undefined>;
  putOffset(offset_ms: number): Promise<void>;
  close(): void;
}

const VERSION = 1;
const RINGS = "rings";
const FACTS = "facts";
const OFFSET = "clock_offset_ms";

/**
 * Opens the store of one device. Where the browser keeps nothing (a private window, a full disk), entries live as long
 * as the page: rather a ring that may come twice than none.
 */
export async function openRingStore(
  client_id: string,
  factory: IDBFactory | undefined = globalThis.indexedDB,
): Promise<RingStore> {
  if (!factory) return memoryStore();
  const db = await open(factory, `convoke.${client_id}`).catch((cause: unknown) => {
    console.warn("Convoke: this browser keeps no rings; a call may ring again after a reload.", cause);
  });
  return db ? databaseStore(db) : memoryStore();
}

export function memoryStore(): RingStore {
  const rings = new Map<InvitationId, RingEntry>();
  let offset_ms: number | undefined;
  return {
    all: async () => [...rings.values()],
    put: async (entry) => void rings.set(entry.invitation, entry),
    remove: async (invitations) => invitations.forEach((invitation) => void rings.delete(invitation)),
    offset: async () => offset_ms,
    putOffset: async (value) => {
      offset_ms = value;
    },
    close: () => {},
  };
}

function databaseStore(db: IDBDatabase): RingStore {
  return {
    all: () => read<RingEntry[]>(db, RINGS, (store) => store.getAll()),
    put: (entry) => write(db, RINGS, (store) => store.put(entry)),
    remove: (invitations) =>
      write(db, RINGS, (store) => {
        for (const invitation of invitations) store.delete(invitation);
      }),
    offset: () => read<number | undefined>(db, FACTS, (store) => store.get(OFFSET)),
    putOffset: (offset_ms) => write(db, FACTS, (store) => store.put(offset_ms, OFFSET)),
    close: () => db.close(),
  };
}

function open(factory: IDBFactory, name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = factory.open(name, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(RINGS, { keyPath: "invitation" });
      request.result.createObjectStore(FACTS);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error(`${name} is held by an older page`));
  });
}

function read<T>(db: IDBDatabase, name: string, ask: (store: IDBObjectStore) => IDBRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = ask(db.transaction(name, "readonly").objectStore(name));
    request.onsuccess = () => resolve(request.result as T);
    request.onerror = () => reject(request.error);
  });
}

function write(db: IDBDatabase, name: string, change: (store: IDBObjectStore) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(name, "readwrite", { durability: "strict" });
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
    change(transaction.objectStore(name));
  });
}
