/**
 * The logins that this browser remembers, so that its pages sign in without a link: any number of accounts, each with a
 * credential for each of its four tabs.
 *
 * - The secret of a link is kept until the last of the four credentials is stored, and no longer.
 * - What is stored is never given up for an answer that did not come: only the server's word ends a login.
 * - Tabs take turns (a Web Lock) where they ask the server for what they store.
 */

import { Backoff, SIGNALLING_STEPS } from "../core/backoff.ts";
import { browserDatabases } from "../core/database.ts";
import { countTabs, deviceName, SLOT_COUNT } from "../core/device-slot.ts";
import { ConvokeError } from "../core/errors.ts";
import { randomHex } from "../core/ids.ts";
import { shownName } from "../core/shown-text.ts";
import { ringDatabase } from "../ring/store.ts";
import type { UserName } from "../wire.ts";
import { accountKey, type Credentials, endLogin, login, renewLogin } from "./requests.ts";
import { type LoginRecord, type LoginStore, openLoginStore } from "./store.ts";

export interface RememberedLogin {
  /** Names it in this browser. */
  account: string;
  user: UserName;
  name: string;
}

/** What it needs of the browser; tests bring their own. */
export interface LoginContext {
  fetch: typeof fetch;
  databases: IDBFactory | undefined;
  locks: Pick<LockManager, "request" | "query"> | undefined;
  nowMs(): number;
}

const DAY_MS = 24 * 3_600_000;
/** A credential lives for 30 days by the server's clock. This device's may be wrong by years: it only counts days. */
const RENEW_AFTER_MS = 10 * DAY_MS;
const LOOK_EVERY_MS = 3_600_000;
const LOOK_AGAIN_MS = 60_000;
/** A link that is opened waits so long for the answers about the credentials that are remembered. */
const WORD_WITHIN_MS = 2_000;
const LOCK = "convoke-logins";
const SIGNED_OUT = "convoke-signed-out";
const SLOTS = Array.from({ length: SLOT_COUNT }, (_, slot) => slot);

export class Logins {
  readonly server: string;
  readonly #context: LoginContext;
  readonly #store: LoginStore;

  private constructor(server: string, context: LoginContext, store: LoginStore) {
    this.server = server;
    this.#context = context;
    this.#store = store;
  }

  /** Those of one server, as this browser remembers them. What a page before has not brought to its end is done now. */
  static async open(server: string, context: Partial<LoginContext> = {}): Promise<Logins> {
    const whole = { ...browserContext(), ...context };
    const logins = new Logins(server, whole, await openLoginStore(whole.databases));
    void logins.#sendSignOuts();
    void logins.#finish();
    globalThis.addEventListener?.("online", () => void logins.#sendSignOuts());
    return logins;
  }

  /** Whom this browser can sign in, who was here last first. */
  async remembered(): Promise<RememberedLogin[]> {
    return (await this.#records()).filter(isUsable).flatMap(({ account, user, name }) => {
      return user === undefined ? [] : [{ account, user, name: shownName(name ?? "", user) }];
    });
  }

  /** The account to sign in with where nothing names one: the only one that there is. */
  async only(): Promise<string | undefined> {
    const records = await this.#records();
    const usable = records.filter(isUsable);
    const [only, other] = usable.length > 0 ? usable : records;
    return other ? undefined : only?.account;
  }

  /**
   * Takes the secret of a link in; it may be dropped everywhere else then. Returns the account that `signIn` takes. A link
   * that was opened before asks for nothing that is remembered and good.
   */
  keep(secret: string): Promise<string> {
    const link = accountKey(secret);
    return this.#withLock(async () => {
      const known = (await this.#records()).find((record) => record.link === link);
      if (known) await this.#drop(known, await this.#ended(known));
      const account = known?.account ?? randomHex(8);
      await this.#store.change(account, (record) => {
        if (record && isComplete(record)) return undefined;
        const fresh = { account, server: this.server, slots: {}, usedAtMs: 0 };
        return { ...fresh, ...record, link, secret };
      });
      return account;
    });
  }

  /**
   * Signs in with an account, however long it takes to reach the server; `failing` is called with the reason of each delay.
   *
   * # Errors
   * Those of category `login`: they are final.
   */
  async signIn(account: string, failing: (error: ConvokeError) => void = () => {}): Promise<Login> {
    const backoff = new Backoff(SIGNALLING_STEPS);
    for (;;) {
      try {
        return await this.#signInNow(account);
      } catch (error) {
        if (!(error instanceof ConvokeError) || error.category !== "network") throw error;
        failing(error);
        await new Promise((resolve) => setTimeout(resolve, backoff.nextMs()));
      }
    }
  }

  async #signInNow(account: string): Promise<Login> {
    const record = await this.#record(account);
    const known = record?.user === undefined ? await this.#withLock(() => this.#identify(account)) : record;
    const used = await this.#store.change(known.account, (now) => now && { ...now, usedAtMs: this.#context.nowMs() });
    return new Login(used ?? known, this.#context, this.#store, () => this.#sendSignOuts());
  }

  /** Finds the user of a link. A user who is known here keeps the same devices. */
  async #identify(account: string): Promise<LoginRecord> {
    const record = await this.#record(account);
    if (record?.user !== undefined) return record;
    if (!record?.secret) throw new ConvokeError("login_ended");
    const others = (await this.#records()).filter((other) => other.user !== undefined);
    for (const other of others) {
      const credentials = await this.#askAs(other, record.secret);
      if (!credentials) continue;
      const { link, secret } = record;
      await this.#drop(other, await this.#ended(other));
      const merged = await this.#store.change(
        other.account,
        (now) => now && learnt({ ...now, link, secret }, 0, credentials, this.#context.nowMs()),
      );
      await this.#store.end(account);
      return merged ?? other;
    }
    const credentials = await this.#login(record.secret, deviceName(account, 0)).catch(async (error: ConvokeError) => {
      // A link that is not valid is not tried again at the next load.
      if (error.code === "link_invalid") await this.#store.end(account);
      throw error;
    });
    return this.#kept(account, credentials);
  }

  /** Signed out meanwhile: what the server has just given is ended too. */
  async #kept(account: string, credentials: Credentials): Promise<LoginRecord> {
    const nowMs = this.#context.nowMs();
    const record = await this.#store.change(account, (now) => now && learnt(now, 0, credentials, nowMs));
    if (record) return record;
    await this.#store.addSignOut({ clientId: credentials.clientId, server: this.server, credentials });
    void this.#sendSignOuts();
    throw new ConvokeError("login_ended");
  }

  /** The first device of `other`, if the link is that user's. */
  async #askAs(other: LoginRecord, secret: string): Promise<Credentials | undefined> {
    const asked = this.#login(secret, deviceName(other.account, 0));
    const credentials = await asked.catch((error: ConvokeError): undefined => {
      if (error.code !== "device_taken" && error.code !== "too_many_devices") throw error;
    });
    if (!credentials || credentials.user === other.user) return credentials;
    // The server had forgotten that device, and has now given it to another user.
    await this.#store.addSignOut({ clientId: credentials.clientId, server: this.server, credentials });
    void this.#sendSignOuts();
    return undefined;
  }

  /** The slots of which the server says that they are no more. */
  async #ended({ slots }: LoginRecord): Promise<number[]> {
    const asked = SLOTS.map(async (slot) => {
      const credentials = slots[slot];
      if (!credentials) return [];
      const asking = renewLogin(this.server, credentials, this.#context.fetch).then(() => []);
      return asking.catch((error: ConvokeError) => (error.category === "login" ? [slot] : []));
    });
    const timeout = new Promise<number[][]>((resolve) => setTimeout(() => resolve([]), WORD_WITHIN_MS));
    return (await Promise.race([Promise.all(asked), timeout])).flat();
  }

  /** Links whose page was closed before the server said whose they are: no secret waits here for ever. */
  async #finish(): Promise<void> {
    const begun = (await this.#records()).filter(({ user }) => user === undefined);
    const done = begun.map(({ account }) => this.#withLock(() => this.#identify(account)));
    await Promise.allSettled(done);
  }

  async #drop({ account }: LoginRecord, ended: readonly number[]): Promise<void> {
    const without = (record: LoginRecord) => ended.reduce((now, slot) => lost(now, slot, "login_ended"), record);
    await this.#store.change(account, (now) => now && without(now));
  }

  async #sendSignOuts(): Promise<boolean> {
    const waiting = await this.#store.signOuts();
    const told = waiting.map(async ({ clientId, server, credentials }) => {
      await endLogin(server, credentials, this.#context.fetch);
      await this.#store.removeSignOut(clientId);
    });
    return (await Promise.allSettled(told)).every(({ status }) => status === "fulfilled");
  }

  #login(secret: string, device: string): Promise<Credentials> {
    return login(this.server, secret, device, this.#context.fetch);
  }

  async #records(): Promise<LoginRecord[]> {
    const all = (await this.#store.all()).filter(({ server }) => server === this.server);
    return all.sort((a, b) => b.usedAtMs - a.usedAtMs);
  }

  async #record(account: string): Promise<LoginRecord | undefined> {
    return (await this.#store.all()).find((record) => record.account === account);
  }

  #withLock<T>(work: () => Promise<T>): Promise<T> {
    return withLock(this.#context.locks, work);
  }
}

/** One account, signed in. */
export class Login implements RememberedLogin {
  readonly account: string;
  readonly user: UserName;
  readonly name: string;
  readonly server: string;
  readonly #context: LoginContext;
  readonly #store: LoginStore;
  readonly #sendSignOuts: () => Promise<boolean>;
  readonly #channel = globalThis.BroadcastChannel && new BroadcastChannel(SIGNED_OUT);

  constructor(record: LoginRecord, context: LoginContext, store: LoginStore, sendSignOuts: () => Promise<boolean>) {
    this.account = record.account;
    this.user = record.user ?? "";
    this.name = shownName(record.name ?? "", this.user);
    this.server = record.server;
    this.#context = context;
    this.#store = store;
    this.#sendSignOuts = sendSignOuts;
  }

  /**
   * The credential of one of its devices. Of one that was `refused` the server is asked what has become of it.
   *
   * # Errors
   * `login_ended`, `login_expired`: a link has to be opened again. `server_unreachable`: try again. Those of `login`
   * where the credential is not there yet.
   */
  async credentials(device: string, refused?: Credentials): Promise<Credentials> {
    const slot = Number(device.at(-1));
    const held = (await this.#record()).slots[slot];
    if (held && held.password !== refused?.password) return held;
    return withLock(this.#context.locks, () => this.#obtain(slot, refused));
  }

  /**
   * Fetches what is missing, and renews what is 10 days old or of unknown age: now, and whenever it is time, until the
   * returned function is called.
   */
  keepFresh(): () => void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const turn = async () => {
      clearTimeout(timer);
      void this.#sendSignOuts();
      const done = await this.#freshen().catch(() => false);
      if (!isOver) timer = setTimeout(turn, done ? LOOK_EVERY_MS : LOOK_AGAIN_MS);
    };
    void turn();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }

  /** How many tabs of this browser are its devices now. */
  tabs(): Promise<number> {
    return countTabs(this.account, this.#context.locks);
  }

  /**
   * Forgets the login here, tells the other tabs, and ends its devices at the server: false if the server could not be
   * told. That is tried again whenever this browser opens {@link Logins}.
   */
  async signOut(): Promise<boolean> {
    const record = await this.#store.end(this.account);
    this.#channel?.postMessage(this.account);
    for (const credentials of Object.values(record?.slots ?? {}))
      if (credentials) this.#context.databases?.deleteDatabase(ringDatabase(credentials.clientId));
    return this.#sendSignOuts();
  }

  /** Calls `listener` when another tab signs out. */
  onSignedOut(listener: () => void): void {
    this.#channel?.addEventListener("message", ({ data }) => data === this.account && listener());
  }

  async #obtain(slot: number, refused: Credentials | undefined): Promise<Credentials> {
    const record = await this.#record();
    const held = record.slots[slot];
    if (held && held.password !== refused?.password) return held;
    if (held) return this.#renew(slot, held);
    if (record.secret) return this.#fetch(slot, record.secret);
    throw new ConvokeError(record.gone ?? "login_ended");
  }

  async #renew(slot: number, held: Credentials): Promise<Credentials> {
    try {
      return await this.#learn(slot, await renewLogin(this.server, held, this.#context.fetch));
    } catch (error) {
      if (error instanceof ConvokeError && error.category === "login") await this.#lose(slot, held, error.code);
      throw error;
    }
  }

  async #fetch(slot: number, secret: string): Promise<Credentials> {
    const device = deviceName(this.account, slot);
    const fetched = await login(this.server, secret, device, this.#context.fetch).catch(async (error: ConvokeError) => {
      if (error.code === "link_invalid")
        await this.#store.change(this.account, (now) => now && { ...now, secret: undefined });
      throw error;
    });
    return this.#learn(slot, fetched);
  }

  /** Signed out meanwhile: what the server has just given is ended too. */
  async #learn(slot: number, credentials: Credentials): Promise<Credentials> {
    const nowMs = this.#context.nowMs();
    const record = await this.#store.change(this.account, (now) => now && learnt(now, slot, credentials, nowMs));
    if (record) return credentials;
    await this.#store.addSignOut({ clientId: credentials.clientId, server: this.server, credentials });
    void this.#sendSignOuts();
    throw new ConvokeError("login_ended");
  }

  async #lose(slot: number, held: Credentials, code: ConvokeError["code"]): Promise<void> {
    const isHeld = (now: LoginRecord) => now.slots[slot]?.password === held.password;
    await this.#store.change(this.account, (now) => now && (isHeld(now) ? lost(now, slot, code) : undefined));
  }

  /** True if nothing is left to be tried again soon. */
  async #freshen(): Promise<boolean> {
    for (const slot of SLOTS) {
      const code = await withLock(this.#context.locks, () => this.#freshenSlot(slot)).then(
        () => undefined,
        (error: ConvokeError) => error.code,
      );
      if (code === "server_unreachable") return false;
      // No other slot will get one either.
      if (code === "too_many_devices" || code === "link_invalid") return true;
    }
    return true;
  }

  async #freshenSlot(slot: number): Promise<void> {
    const { slots, sinceMs, secret } = await this.#record();
    const held = slots[slot];
    const ageMs = this.#context.nowMs() - (sinceMs?.[slot] ?? 0);
    const isFresh = ageMs >= 0 && ageMs < RENEW_AFTER_MS;
    if (held && !isFresh) await this.#renew(slot, held);
    // Four devices for each page that forgets them would soon be too many.
    if (!held && secret && this.#store.isKept) await this.#fetch(slot, secret);
  }

  async #record(): Promise<LoginRecord> {
    const record = (await this.#store.all()).find(({ account }) => account === this.account);
    if (!record) throw new ConvokeError("login_ended");
    return record;
  }
}

/** With one more credential; the secret goes with the last. */
function learnt(record: LoginRecord, slot: number, credentials: Credentials, nowMs: number): LoginRecord {
  const { user, name } = credentials;
  const sinceMs = { ...record.sinceMs, [slot]: nowMs };
  const next = { ...record, user, name, slots: { ...record.slots, [slot]: credentials }, sinceMs };
  if (!isComplete(next)) return next;
  const { secret: _secret, gone: _gone, ...complete } = next;
  return complete;
}

function lost(record: LoginRecord, slot: number, gone: ConvokeError["code"]): LoginRecord {
  return { ...record, gone, slots: { ...record.slots, [slot]: undefined } };
}

function isComplete({ slots }: LoginRecord): boolean {
  return SLOTS.every((slot) => slots[slot] !== undefined);
}

/** It has something to sign in with. */
function isUsable({ slots, secret }: LoginRecord): boolean {
  return secret !== undefined || SLOTS.some((slot) => slots[slot] !== undefined);
}

function withLock<T>(locks: LoginContext["locks"], work: () => Promise<T>): Promise<T> {
  return locks ? (locks.request(LOCK, work) as Promise<T>) : work();
}

function browserContext(): LoginContext {
  const fetcher: typeof fetch = (...request) => fetch(...request);
  const locks = globalThis.navigator?.locks;
  return { fetch: fetcher, databases: browserDatabases(), locks, nowMs: () => Date.now() };
}
