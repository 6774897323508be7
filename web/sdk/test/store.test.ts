/** A browser that stops keeping things while the page lives: what rings goes on to ring. */

import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RingBook } from "../src/ring/book.ts";
import { openRingStore, type RingStore, ringDatabase } from "../src/ring/store.ts";
import { clockAt, ended, invitation, T0 } from "./fixtures.ts";

const BOB = "GID_dev@@@bob";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.spyOn(console, "warn").mockImplementation(() => {});
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A disk whose next transactions and openings may be told to fail, or never to end. */
class Disk {
  readonly real = new IDBFactory();
  how: "well" | "throws" | "aborts" | "hangs" = "well";
  opened = 0;
  readonly databases: IDBDatabase[] = [];

  readonly factory = new Proxy(this.real, {
    get: (real, name) =>
      name === "open" ? (...args: [string, number]) => this.#open(...args) : Reflect.get(real, name),
  });

  #open(...args: [string, number]): IDBOpenDBRequest {
    this.opened += 1;
    if (this.how === "hangs") return {} as IDBOpenDBRequest;
    if (this.how === "throws") throw new DOMException("no", "InvalidStateError");
    const request = this.real.open(...args);
    request.addEventListener("success", () => this.#spoil(request.result));
    return request;
  }

  #spoil(db: IDBDatabase): void {
    this.databases.push(db);
    const begin = db.transaction.bind(db);
    db.transaction = (...args: Parameters<IDBDatabase["transaction"]>) => {
      if (this.how === "throws") throw new DOMException("closing", "InvalidStateError");
      if (this.how === "hangs") return { objectStore: () => ({ put() {}, delete() {} }) } as unknown as IDBTransaction;
      const transaction = begin(...args);
      if (this.how === "aborts") queueMicrotask(() => transaction.abort());
      return transaction;
    };
  }
}

async function open(disk: Disk): Promise<{ store: RingStore; book: RingBook; kept: boolean[] }> {
  const kept: boolean[] = [];
  const opening = openRingStore(BOB, { factory: disk.factory, kept: (yes) => kept.push(yes) });
  await settle(opening);
  const store = await opening;
  const clock = clockAt(() => T0);
  return { store, book: await RingBook.open(store, clock), kept };
}

/** Lets the timeout pass where no answer comes. */
async function settle(work: Promise<unknown>): Promise<void> {
  let done = false;
  void work.finally(() => {
    done = true;
  });
  for (let turn = 0; turn < 40 && !done; turn++) await new Promise((resolve) => setImmediate(resolve));
  if (!done) await vi.advanceTimersByTimeAsync(3_100);
  await work;
}

describe.each(["throws", "aborts", "hangs"] as const)("a database that %s in mid-life", (how) => {
  test("is replaced by memory with all that was known, told once, and a ring still rings once", async () => {
    const disk = new Disk();
    const { book, kept } = await open(disk);
    expect((await book.receive(invitation({ invitation: "i1" }), false)).type).toBe("ring");
    disk.how = how;
    const second = book.receive(invitation({ invitation: "i2" }), false);
    await settle(second);
    expect((await second).type).toBe("ring");
    await settle(book.receive(ended(2, { invitation: "i1" }), false));
    expect((await book.receive(invitation({ invitation: "i1" }), false)).type).toBe("nothing");
    expect((await book.receive(invitation({ invitation: "i2" }), true)).type).toBe("nothing");
    expect(kept).toEqual([false]);
    expect(console.warn).toHaveBeenCalledTimes(1);
  });

  test("gets everything when it is back", async () => {
    const disk = new Disk();
    const { store, book, kept } = await open(disk);
    disk.how = how;
    await settle(book.receive(invitation({ invitation: "i1" }), false));
    await settle(store.putOffset(-7));
    disk.how = "well";
    await vi.advanceTimersByTimeAsync(30_100);
    await vi.waitFor(() => expect(kept).toEqual([false, true]));
    await book.receive(invitation({ invitation: "i2" }), false);
    const { store: next } = await open(disk);
    expect((await next.all()).map(({ invitation }) => invitation)).toEqual(["i1", "i2"]);
    expect(await next.offset()).toBe(-7);
  });
});

test.each(["throws", "hangs"] as const)("a database whose opening %s leaves a page that rings", async (how) => {
  const disk = new Disk();
  disk.how = how;
  const { book, kept } = await open(disk);
  expect((await book.receive(invitation(), false)).type).toBe("ring");
  expect(kept).toEqual([false]);
});

test("a browser that never answers is asked once, not every half minute", async () => {
  const disk = new Disk();
  disk.how = "hangs";
  await open(disk);
  await vi.advanceTimersByTimeAsync(300_000);
  expect(disk.opened).toBe(1);
});

test("a database that another page wants to delete is let go, and made again", async () => {
  const disk = new Disk();
  const { book, kept } = await open(disk);
  await book.receive(invitation({ invitation: "i1" }), false);
  await new Promise((resolve) => {
    disk.real.deleteDatabase(ringDatabase(BOB)).onsuccess = resolve;
  });
  expect(kept).toEqual([false]);
  await vi.advanceTimersByTimeAsync(30_100);
  await vi.waitFor(() => expect(kept).toEqual([false, true]));
  const { store } = await open(disk);
  expect(
    (await store.all()).map(({ invitation }) => invitation),
    "with what was in it",
  ).toEqual(["i1"]);
});

test("a page without IndexedDB rings, and says that it keeps nothing", async () => {
  const kept: boolean[] = [];
  vi.stubGlobal("indexedDB", undefined);
  const store = await openRingStore(BOB, { kept: (yes) => kept.push(yes) });
  vi.unstubAllGlobals();
  const book = await RingBook.open(
    store,
    clockAt(() => T0),
  );
  expect((await book.receive(invitation(), false)).type).toBe("ring");
  expect(kept).toEqual([false]);
});
