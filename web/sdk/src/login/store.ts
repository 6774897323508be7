/**
 * The store of logins: one record for each account, and the devices that the server has still to be told to end. All
 * tabs share it, so each change reads and writes in one transaction.
 *
 * Where the browser keeps nothing, the records live as long as the page.
 */

import { browserDatabases, DATABASE_TIMEOUT_MS, Database, within } from "../core/database.ts";
import type { ConvokeError } from "../core/errors.ts";
import { fromWire, toWire, type UserName } from "../wire.ts";
import type { Credentials } from "./requests.ts";

/**
 * ```
 *  secret ──first credential: user──► secret, some slots ──all four──► four slots (no secret)
 *                                                                        │ the server has ended one: `gone`
 *                                                              a new link ◄┘
 * ```
 */
export interface LoginRecord {
  /** 8 hex digits: the part of the devices' names that stands for this browser and account. */
  account: string;
  server: string;
  /** Absent until the server has said whose link it is. */
  user?: UserName;
  name?: string;
  /** Names the link that was opened last, without telling its secret. */
  link: string;
  /** Until each slot has its credential. */
  secret?: string;
  slots: Partial<Record<number, Credentials>>;
  /** When each slot's credential came or was renewed last, by this device's clock. */
  sinceMs?: Partial<Record<number, number>>;
  /** Why a slot has lost its credential. */
  gone?: ConvokeError["code"];
  usedAtMs: number;
}

/** A device that is signed out here, and perhaps not yet at the server. */
export interface PendingSignOut {
  clientId: string;
  server: string;
  credentials: Credentials;
}

export interface LoginStore {
  /** Whether what it holds outlives the page, as far as is known. */
  readonly isKept: boolean;
  all(): Promise<LoginRecord[]>;
  /** Replaces a record by what `change` returns for it; `undefined` leaves it as it is. Returns the record as it is then. */
  change(
    account: string,
    change: (record: LoginRecord | undefined) => LoginRecord | undefined,
  ): Promise<LoginRecord | undefined>;
  /** Forgets an account; its devices are to be ended. Returns what was forgotten. */
  end(account: string): Promise<LoginRecord | undefined>;
  signOuts(): Promise<PendingSignOut[]>;
  addSignOut(signOut: PendingSignOut): Promise<void>;
  removeSignOut(clientId: string): Promise<void>;
}

const NAME = "convoke-logins";
const LOGINS = "logins";
const ENDINGS = "endings";

export async function openLoginStore(factory: IDBFactory | undefined = browserDatabases()): Promise<LoginStore> {
  const memory = new MemoryLogins();
  try {
    if (!factory) throw new Error("there is no IndexedDB here");
    const db = await within(DATABASE_TIMEOUT_MS, Database.open(factory, NAME, create), (late) => late.close());
    return new SafeLogins(new DatabaseLogins(db), memory);
  } catch (cause) {
    console.warn("Convoke: this browser keeps no login; it is gone with the page.", cause);
    return memory;
  }
}

function create(db: IDBDatabase): void {
  db.createObjectStore(LOGINS, { keyPath: "account" });
  db.createObjectStore(ENDINGS, { keyPath: "client_id" });
}

function signOutsOf({ server, slots }: LoginRecord): PendingSignOut[] {
  return Object.values(slots).flatMap((credentials) =>
    credentials ? [{ clientId: credentials.clientId, server, credentials }] : [],
  );
}

class MemoryLogins implements LoginStore {
  readonly isKept = false;
  #logins = new Map<string, LoginRecord>();
  #signOuts = new Map<string, PendingSignOut>();

  async take(other: LoginStore): Promise<void> {
    this.#logins = new Map((await other.all()).map((record) => [record.account, record]));
    this.#signOuts = new Map((await other.signOuts()).map((signOut) => [signOut.clientId, signOut]));
  }

  async all(): Promise<LoginRecord[]> {
    return [...this.#logins.values()];
  }

  async change(
    account: string,
    change: (record: LoginRecord | undefined) => LoginRecord | undefined,
  ): Promise<LoginRecord | undefined> {
    const next = change(this.#logins.get(account));
    if (next) this.#logins.set(account, next);
    return this.#logins.get(account);
  }

  async end(account: string): Promise<LoginRecord | undefined> {
    const record = this.#logins.get(account);
    this.#logins.delete(account);
    for (const signOut of record ? signOutsOf(record) : []) this.#signOuts.set(signOut.clientId, signOut);
    return record;
  }

  async signOuts(): Promise<PendingSignOut[]> {
    return [...this.#signOuts.values()];
  }

  async addSignOut(signOut: PendingSignOut): Promise<void> {
    this.#signOuts.set(signOut.clientId, signOut);
  }

  async removeSignOut(clientId: string): Promise<void> {
    this.#signOuts.delete(clientId);
  }
}

class DatabaseLogins implements LoginStore {
  readonly isKept = true;
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async all(): Promise<LoginRecord[]> {
    return fromWire(await this.#db.read(LOGINS, (store) => store.getAll())) as LoginRecord[];
  }

  async change(
    account: string,
    change: (record: LoginRecord | undefined) => LoginRecord | undefined,
  ): Promise<LoginRecord | undefined> {
    let stands: LoginRecord | undefined;
    await this.#db.write([LOGINS], (store) => {
      const request = store(LOGINS).get(account);
      request.onsuccess = () => {
        const before = fromWire(request.result) as LoginRecord | undefined;
        const next = change(before);
        if (next) store(LOGINS).put(toWire(next));
        stands = next ?? before;
      };
    });
    return stands;
  }

  async end(account: string): Promise<LoginRecord | undefined> {
    let record: LoginRecord | undefined;
    await this.#db.write([LOGINS, ENDINGS], (store) => {
      const request = store(LOGINS).get(account);
      request.onsuccess = () => {
        record = fromWire(request.result) as LoginRecord | undefined;
        store(LOGINS).delete(account);
        for (const signOut of record ? signOutsOf(record) : []) store(ENDINGS).put(toWire(signOut));
      };
    });
    return record;
  }

  async signOuts(): Promise<PendingSignOut[]> {
    return fromWire(await this.#db.read(ENDINGS, (store) => store.getAll())) as PendingSignOut[];
  }

  addSignOut(signOut: PendingSignOut): Promise<void> {
    return this.#db.write([ENDINGS], (store) => store(ENDINGS).put(toWire(signOut)));
  }

  removeSignOut(clientId: string): Promise<void> {
    return this.#db.write([ENDINGS], (store) => store(ENDINGS).delete(clientId));
  }
}

/** The database as long as it works; from its first failure on what was known then, for the life of the page. */
class SafeLogins implements LoginStore {
  #db: DatabaseLogins | undefined;
  readonly #first: DatabaseLogins;
  readonly #memory: MemoryLogins;

  constructor(db: DatabaseLogins, memory: MemoryLogins) {
    this.#db = db;
    this.#first = db;
    this.#memory = memory;
  }

  get isKept(): boolean {
    return this.#db !== undefined;
  }

  all = () => this.#on((store) => store.all());
  change: LoginStore["change"] = (account, change) => this.#on((store) => store.change(account, change));
  signOuts = () => this.#on((store) => store.signOuts());
  addSignOut = (signOut: PendingSignOut) => this.#on((store) => store.addSignOut(signOut));
  removeSignOut = (clientId: string) => this.#on((store) => store.removeSignOut(clientId));

  /** A user who signs out must not be signed in again by the next page: so the database is used though it has failed. */
  async end(account: string): Promise<LoginRecord | undefined> {
    const record = await this.#on((store) => store.end(account));
    if (!this.#db) await this.#first.end(account).catch(() => undefined);
    return record;
  }

  async #on<T>(work: (store: LoginStore) => Promise<T>): Promise<T> {
    const db = this.#db;
    if (!db) return work(this.#memory);
    try {
      const done = await work(db);
      await this.#memory.take(db);
      return done;
    } catch (cause) {
      console.warn("Convoke: this browser keeps no login just now; what changes is gone with the page.", cause);
      this.#db = undefined;
      return work(this.#memory);
    }
  }
}
