/** Who has signed in in a browser: against a server that is away, loses answers, and ends devices. */

import { IDBDatabase as FDBDatabase, IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Login, type LoginContext, Logins } from "../src/login/logins.ts";
import type { CredentialsDocument } from "../src/login/requests.ts";

const SERVER = "http://convoke.test";
const DAY_MS = 24 * 3_600_000;
const DEVICES_MAX = 8;

interface Device {
  user: string;
  password: string;
  expiresAtMs: number;
}

/** The login part of the API, as far as pages use it. */
class Server {
  nowMs = 1_700_000_000_000;
  away = false;
  /** Does what it is asked, and its answer is lost. */
  losesAnswers = false;
  readonly links = new Map([
    ["alice-link", "alice"],
    ["bob-link", "bob"],
  ]);
  readonly devices = new Map<string, Device>();
  readonly asked: string[] = [];
  #made = 0;

  readonly fetch: typeof fetch = async (input, { method = "GET", body, headers } = {}) => {
    const { pathname } = new URL(String(input));
    if (this.away) throw new TypeError("failed to fetch");
    this.asked.push(`${method} ${pathname}`);
    const [status, answer] = this.#answer(`${method} ${pathname}`, String(body ?? ""), new Headers(headers));
    if (this.losesAnswers) throw new TypeError("failed to fetch");
    return new Response(status === 204 ? null : JSON.stringify(answer), { status });
  };

  #answer(request: string, body: string, headers: Headers): [status: number, answer?: unknown] {
    if (request === "POST /api/v1/login") return this.#logIn(JSON.parse(body));
    const [clientId = "", password] = atob(headers.get("authorization")?.replace("Basic ", "") ?? "").split(":");
    const device = this.devices.get(clientId);
    if (!device || device.password !== password) return [401, { code: "login_ended" }];
    if (request === "DELETE /api/v1/login") {
      this.devices.delete(clientId);
      return [204];
    }
    if (device.expiresAtMs < this.nowMs) return [401, { code: "login_expired" }];
    device.expiresAtMs = this.nowMs + 30 * DAY_MS;
    return [200, this.#terminal(clientId, device)];
  }

  #logIn({ secret, device: name }: { secret: string; device: string }): [status: number, answer?: unknown] {
    const user = this.links.get(secret);
    if (!user) return [401, { code: "login_refused" }];
    const clientId = `GID_dev@@@${name}`;
    const known = this.devices.get(clientId);
    if (known && known.user !== user) return [409, { code: "device_taken" }];
    if (!known && this.devicesOf(user).length >= DEVICES_MAX) return [409, { code: "too_many_devices" }];
    const device = { user, password: `p${++this.#made}`, expiresAtMs: this.nowMs + 30 * DAY_MS };
    this.devices.set(clientId, device);
    return [200, this.#terminal(clientId, device)];
  }

  #terminal(client_id: string, { user, password, expiresAtMs }: Device): CredentialsDocument {
    const endpoints = { mqtt_ws: "ws://localhost:1/mqtt" };
    const name = user.toUpperCase();
    return { client_id, username: "u", password, expires_at_ms: expiresAtMs, endpoints, user, name };
  }

  devicesOf(user: string): string[] {
    return [...this.devices].filter(([, device]) => device.user === user).map(([clientId]) => clientId);
  }
}

/** Web Locks, as far as logins use them: one after the other. */
class Locks {
  #turn: Promise<unknown> = Promise.resolve();
  request = (_name: string, work: () => unknown) => {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  };
  query = async () => ({ held: [] });
}

class Browser {
  readonly databases: IDBFactory | undefined;
  readonly #locks = new Locks() as unknown as LockManager;
  readonly #server: Server;

  constructor(server: Server, databases: IDBFactory | undefined = new IDBFactory()) {
    this.#server = server;
    this.databases = databases;
  }

  /** What a page that is opened now has of logins. */
  page(more: Partial<LoginContext> = {}): Promise<Logins> {
    const { fetch } = this.#server;
    const nowMs = () => this.#server.nowMs;
    return Logins.open(SERVER, { fetch, databases: this.databases, locks: this.#locks, nowMs, ...more });
  }

  /** Everything that is stored, as text. */
  async stored(): Promise<string> {
    const db = await new Promise<IDBDatabase>((resolve) => {
      const request = (this.databases as IDBFactory).open("convoke-logins");
      request.onsuccess = () => resolve(request.result);
    });
    const read = (name: string) =>
      new Promise<unknown[]>((resolve) => {
        const request = db.transaction(name).objectStore(name).getAll();
        request.onsuccess = () => resolve(request.result);
      });
    const text = JSON.stringify([await read("logins"), await read("endings")]);
    db.close();
    return text;
  }
}

let server: Server;
let browser: Browser;
const stops: (() => void)[] = [];

beforeEach(() => {
  server = new Server();
  browser = new Browser(server);
  vi.stubGlobal("BroadcastChannel", undefined);
  vi.spyOn(console, "warn").mockImplementation(() => {});
});

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Opens a link in a new page. */
async function opens(secret: string, logins?: Logins): Promise<Login> {
  const page = logins ?? (await browser.page());
  return page.signIn(await page.keep(secret));
}

/** Until all four credentials are there, or cannot be had. */
async function completes(login: Login): Promise<void> {
  stops.push(login.keepFresh());
  await vi.waitFor(async () => expect(await browser.stored()).not.toContain("-link"));
}

const device = ({ account }: Login, slot: number) => `web-${account}-${slot}`;

describe("a link that is opened", () => {
  test("signs in with the first device, gets the other three, and is forgotten then", async () => {
    const alice = await opens("alice-link");
    expect([alice.user, alice.name]).toEqual(["alice", "ALICE"]);
    expect(server.devicesOf("alice")).toEqual([`GID_dev@@@web-${alice.account}-0`]);
    expect(await browser.stored(), "until the rest is there").toContain("alice-link");
    await completes(alice);
    expect(server.devicesOf("alice").length).toBe(4);
    expect((await alice.credentials(device(alice, 3))).clientId).toBe(`GID_dev@@@web-${alice.account}-3`);
  });

  test("is not needed by the pages after it", async () => {
    await completes(await opens("alice-link"));
    const later = await browser.page();
    expect(await later.remembered()).toMatchObject([{ user: "alice", name: "ALICE" }]);
    const account = await later.only();
    server.away = true;
    const alice = await later.signIn(account ?? "");
    expect((await alice.credentials(device(alice, 1))).user).toBe("alice");
  });

  test("waits, over a reload too, for a server that is away", async () => {
    server.away = true;
    const account = await (await browser.page()).keep("alice-link");
    const later = await browser.page();
    expect(await later.only()).toBe(account);
    const failures: string[] = [];
    const signing = later.signIn(account, ({ code }) => {
      failures.push(code);
      server.away = false;
    });
    expect((await signing).user).toBe("alice");
    expect(failures).toEqual(["server_unreachable"]);
  });

  test("of a page that was closed while the server was away is gone after the next, whoever signs in there", async () => {
    await completes(await opens("bob-link"));
    server.away = true;
    await (await browser.page()).keep("alice-link");
    server.away = false;
    const page = await browser.page();
    await vi.waitFor(async () => expect((await page.remembered()).length).toBe(2));
    await completes(await page.signIn((await page.remembered()).find(({ user }) => user === "alice")?.account ?? ""));
    expect([server.devicesOf("alice").length, server.devicesOf("bob").length]).toEqual([4, 4]);
  });

  test.each([404, 403])("is not forgotten for an answer with status %i, whoever gave it", async (status) => {
    let isThere = false;
    const stranger = async () => new Response("<html>", { status });
    const page = await browser.page({ fetch: (...request) => (isThere ? server.fetch(...request) : stranger()) });
    const failing = vi.fn();
    const signingIn = page.signIn(await page.keep("alice-link"), failing);
    await vi.waitFor(() => expect(failing).toHaveBeenCalled());
    expect(failing.mock.calls[0]?.[0]).toMatchObject({ code: "server_unreachable" });
    isThere = true;
    expect((await signingIn).user).toBe("alice");
  });

  test("that is not valid says so and is forgotten", async () => {
    await expect(opens("stolen")).rejects.toMatchObject({ code: "link_invalid" });
    expect(await browser.stored()).toBe("[[],[]]");
  });

  test("whose answers are lost leaves no other devices than its four", async () => {
    server.losesAnswers = true;
    const page = await browser.page();
    const account = await page.keep("alice-link");
    const login = await page.signIn(account, () => {
      server.losesAnswers = false;
    });
    await completes(login);
    expect(server.devicesOf("alice").length).toBe(4);
  });

  test("gives what it can where the user has too many devices, and the rest later", async () => {
    for (let n = 0; n < DEVICES_MAX - 2; n++)
      server.devices.set(`other-${n}`, { user: "alice", password: "", expiresAtMs: 0 });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const alice = await opens("alice-link");
    stops.push(alice.keepFresh());
    await vi.waitFor(() => expect(server.devicesOf("alice").length).toBe(DEVICES_MAX));
    await expect(alice.credentials(device(alice, 2))).rejects.toMatchObject({ code: "too_many_devices" });
    expect((await alice.credentials(device(alice, 1))).user).toBe("alice");
    server.devices.delete("other-0");
    server.devices.delete("other-1");
    await vi.advanceTimersByTimeAsync(3_600_000);
    await vi.waitFor(async () => expect(await browser.stored()).not.toContain("-link"));
  });

  test("in two tabs at once is one account with four devices", async () => {
    const pages = await Promise.all([browser.page(), browser.page()]);
    const logins = await Promise.all(pages.map((page) => opens("alice-link", page)));
    await Promise.all(logins.map(completes));
    expect(new Set(logins.map(({ account }) => account)).size).toBe(1);
    expect(server.devicesOf("alice").length).toBe(4);
  });

  test("again does not touch credentials that are good", async () => {
    const first = await opens("alice-link");
    await completes(first);
    const before = await first.credentials(device(first, 0));
    const again = await opens("alice-link");
    expect(await again.credentials(device(again, 0))).toEqual(before);
    expect(server.asked.filter((request) => request === "POST /api/v1/login").length).toBe(4);
  });

  test("again makes those anew that the server has ended", async () => {
    const first = await opens("alice-link");
    await completes(first);
    server.devices.delete(`GID_dev@@@${device(first, 0)}`);
    server.devices.delete(`GID_dev@@@${device(first, 2)}`);
    const again = await opens("alice-link");
    await completes(again);
    expect(again.account).toBe(first.account);
    const held = await again.credentials(device(again, 2));
    expect(server.devices.get(held.clientId)?.password).toBe(held.password);
  });

  test("for a user who is known here goes on with the same devices", async () => {
    const first = await opens("alice-link");
    await completes(first);
    await completes(await opens("bob-link"));
    server.links.delete("alice-link");
    server.links.set("new-link", "alice");
    const again = await opens("new-link");
    await completes(again);
    expect(again.account).toBe(first.account);
    expect([server.devicesOf("alice").length, server.devicesOf("bob").length]).toEqual([4, 4]);
    expect((await (await browser.page()).remembered()).map(({ user }) => user).sort()).toEqual(["alice", "bob"]);
  });

  test("for a new user takes no device name of one who was forgotten by the server", async () => {
    const alice = await opens("alice-link");
    await completes(alice);
    server.devices.clear();
    const bob = await opens("bob-link");
    await completes(bob);
    expect(bob.account).not.toBe(alice.account);
    await vi.waitFor(() => expect(server.devicesOf("bob").length).toBe(4));
    expect(server.devicesOf("bob").every((clientId) => clientId.includes(bob.account))).toBe(true);
  });
});

describe("several users in one browser", () => {
  test("are remembered, who was here last first, and none is chosen for a tab that names none", async () => {
    await completes(await opens("alice-link"));
    server.nowMs += 1;
    await completes(await opens("bob-link"));
    const page = await browser.page();
    expect((await page.remembered()).map(({ user }) => user)).toEqual(["bob", "alice"]);
    expect(await page.only()).toBeUndefined();
  });
});

describe("a login that is renewed", () => {
  test("has 30 more days after 10, all four devices", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const alice = await opens("alice-link");
    await completes(alice);
    const before = await alice.credentials(device(alice, 2));
    server.nowMs += 9 * DAY_MS;
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(server.asked.includes("POST /api/v1/login/renew")).toBe(false);
    server.nowMs += 2 * DAY_MS;
    await vi.advanceTimersByTimeAsync(3_600_000);
    await vi.waitFor(() => expect(server.asked.filter((request) => request.endsWith("renew")).length).toBe(4));
    await vi.waitFor(async () =>
      expect(await alice.credentials(device(alice, 2))).toEqual({
        ...before,
        expiresAtMs: server.nowMs + 30 * DAY_MS,
      }),
    );
  });

  test("loses nothing when answers are lost or the server is away, and tries again within minutes", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const alice = await opens("alice-link");
    await completes(alice);
    server.nowMs += 25 * DAY_MS;
    server.losesAnswers = true;
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect((await alice.credentials(device(alice, 0))).user).toBe("alice");
    server.losesAnswers = false;
    await vi.advanceTimersByTimeAsync(120_000);
    await vi.waitFor(async () =>
      expect((await alice.credentials(device(alice, 3))).expiresAtMs).toBe(server.nowMs + 30 * DAY_MS),
    );
  });

  test.each([-40, 40])("is renewed in time, and not all the time, by a clock that is %d days wrong", async (days) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const page = await browser.page({ nowMs: () => server.nowMs + days * DAY_MS });
    const alice = await opens("alice-link", page);
    await completes(alice);
    const renewals = () => server.asked.filter((request) => request.endsWith("renew")).length;
    server.nowMs += 9 * DAY_MS;
    await vi.advanceTimersByTimeAsync(3 * 3_600_000);
    expect(renewals()).toBe(0);
    server.nowMs += 2 * DAY_MS;
    await vi.advanceTimersByTimeAsync(3 * 3_600_000);
    await vi.waitFor(() => expect(renewals()).toBe(4));
    // The clock is set right.
    for (const stop of stops.splice(0)) stop();
    stops.push((await (await browser.page()).signIn(alice.account)).keepFresh());
    await vi.waitFor(() => expect(renewals()).toBe(8));
  });

  test.each([404, 403, 500])("is not ended by an answer with status %i, whoever gave it", async (status) => {
    const alice = await opens("alice-link");
    await completes(alice);
    const held = await alice.credentials(device(alice, 0));
    const page = await browser.page({ fetch: async () => new Response("<html>", { status }) });
    const again = await page.signIn(alice.account);
    await expect(again.credentials(device(again, 0), held)).rejects.toMatchObject({ code: "server_unreachable" });
    expect(await again.credentials(device(again, 0))).toEqual(held);
  });
});

describe("a credential that the broker refuses", () => {
  test("is asked about once, and used again if the server knows it", async () => {
    const alice = await opens("alice-link");
    await completes(alice);
    const held = await alice.credentials(device(alice, 0));
    expect((await alice.credentials(device(alice, 0), held)).password).toBe(held.password);
  });

  test.each(["login_ended", "login_expired"] as const)("says %s, also to the pages after it", async (code) => {
    const alice = await opens("alice-link");
    await completes(alice);
    const held = await alice.credentials(device(alice, 0));
    if (code === "login_ended") server.devices.delete(held.clientId);
    else server.nowMs += 31 * DAY_MS;
    await expect(alice.credentials(device(alice, 0), held)).rejects.toMatchObject({ code });
    const later = await browser.page();
    const again = await later.signIn((await later.only()) ?? "");
    await expect(again.credentials(device(again, 0))).rejects.toMatchObject({ code });
  });

  test("is replaced by what another tab has got meanwhile", async () => {
    const alice = await opens("alice-link");
    await completes(alice);
    const held = await alice.credentials(device(alice, 0));
    server.devices.delete(held.clientId);
    const other = await opens("alice-link");
    const fresh = await other.credentials(device(other, 0));
    expect(fresh.password).not.toBe(held.password);
    expect(await alice.credentials(device(alice, 0), held)).toEqual(fresh);
  });
});

describe("signing out", () => {
  test("ends the four devices at the server and forgets everything here", async () => {
    const alice = await opens("alice-link");
    await completes(alice);
    expect(await alice.signOut()).toBe(true);
    expect(server.devices.size).toBe(0);
    expect(await browser.stored()).toBe("[[],[]]");
    await expect(alice.credentials(device(alice, 0))).rejects.toMatchObject({ code: "login_ended" });
  });

  test("while the server is away is told to it by the next page", async () => {
    const alice = await opens("alice-link");
    await completes(alice);
    server.away = true;
    expect(await alice.signOut()).toBe(false);
    const later = await browser.page();
    expect(await later.remembered()).toEqual([]);
    expect(server.devices.size).toBe(4);
    server.away = false;
    await browser.page();
    await vi.waitFor(async () => expect([server.devices.size, await browser.stored()]).toEqual([0, "[[],[]]"]));
  });

  test("while a device is being fetched ends that one too", async () => {
    const alice = await opens("alice-link");
    await Promise.allSettled([alice.credentials(device(alice, 1)), alice.signOut()]);
    await vi.waitFor(async () => expect([server.devices.size, await browser.stored()]).toEqual([0, "[[],[]]"]));
  });

  test("is no less final where the database has failed once", async () => {
    const alice = await opens("alice-link");
    await completes(alice);
    const failure = vi.spyOn(FDBDatabase.prototype, "transaction").mockImplementationOnce(() => {
      throw new DOMException("", "UnknownError");
    });
    expect(await alice.credentials(device(alice, 0))).toBeDefined();
    expect(failure).toHaveBeenCalled();
    server.away = true;
    expect(await alice.signOut()).toBe(false);
    const page = await browser.page();
    expect(await page.remembered()).toEqual([]);
    server.away = false;
    await browser.page();
    await vi.waitFor(async () => expect([server.devices.size, await browser.stored()]).toEqual([0, "[[],[]]"]));
  });

  test("leaves the other users of this browser as they are", async () => {
    const alice = await opens("alice-link");
    await completes(alice);
    await completes(await opens("bob-link"));
    await alice.signOut();
    expect(await (await browser.page()).remembered()).toMatchObject([{ user: "bob" }]);
    expect(server.devicesOf("bob").length).toBe(4);
  });
});

describe("a browser that keeps nothing", () => {
  test("signs in for the life of the page", async () => {
    browser = new Browser(server, undefined);
    const page = await browser.page({ databases: undefined });
    const alice = await opens("alice-link", page);
    expect((await alice.credentials(device(alice, 0))).user).toBe("alice");
    expect(await alice.signOut()).toBe(true);
    expect(server.devices.size).toBe(0);
  });

  test("gets no devices but those that are used, since each page makes others", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const alice = await opens("alice-link", await browser.page({ databases: undefined }));
    stops.push(alice.keepFresh());
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(server.devices.size).toBe(1);
    expect((await alice.credentials(device(alice, 1))).user).toBe("alice");
    expect(server.devices.size).toBe(2);
  });
});
