import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RingBook } from "../src/ring/book.ts";
import { Ringer } from "../src/ring/ringer.ts";
import { memoryStore, openRingStore, type RingStore } from "../src/ring/store.ts";
import { clockAt, ended, invitation, outcome, ring, state, T0 } from "./fixtures.ts";

describe("the ring store", () => {
  test("an invitation that rang before the page was killed does not ring again", async () => {
    const disk = new IDBFactory();
    const before = await RingBook.open(
      await openRingStore("GID_dev@@@bob", { factory: disk }),
      clockAt(() => T0),
    );
    expect((await before.receive(invitation(), false)).type).toBe("ring");
    const after = await RingBook.open(
      await openRingStore("GID_dev@@@bob", { factory: disk }),
      clockAt(() => T0),
    );
    expect((await after.receive(invitation(), false)).type).toBe("nothing");
  });

  test("devices do not see each other's rings", async () => {
    const disk = new IDBFactory();
    const bob = await RingBook.open(
      await openRingStore("GID_dev@@@bob", { factory: disk }),
      clockAt(() => T0),
    );
    await bob.receive(invitation(), false);
    const other = await openRingStore("GID_dev@@@bob2", { factory: disk });
    const alice = await openRingStore("GID_dev@@@alice", { factory: disk });
    expect([await other.all(), await alice.all()]).toEqual([[], []]);
  });

  test("keeps what was learnt of the service's clock", async () => {
    const disk = new IDBFactory();
    await (await openRingStore("GID_dev@@@bob", { factory: disk })).putOffset(-1_234);
    expect(await (await openRingStore("GID_dev@@@bob", { factory: disk })).offset()).toBe(-1_234);
  });

  test("forgets entries three days past their expiry", async () => {
    const disk = new IDBFactory();
    let nowMs = T0;
    const book = await RingBook.open(
      await openRingStore("GID_dev@@@bob", { factory: disk }),
      clockAt(() => nowMs),
    );
    await book.receive(ended(2), false);
    nowMs += 4 * 24 * 3_600_000;
    await book.confirm({ state: state({ nowMs }), known: 0 });
    expect(await (await openRingStore("GID_dev@@@bob", { factory: disk })).all()).toEqual([]);
  });
});

describe("the ring book", () => {
  test("shows nothing before it is stored", async () => {
    let written = () => {};
    const slow: RingStore = Object.assign(memoryStore(), {
      put: () => new Promise<void>((resolve) => (written = resolve)),
    });
    const book = await RingBook.open(
      slow,
      clockAt(() => T0),
    );
    const shown: string[] = [];
    const received = book.receive(invitation(), false).then((effect) => shown.push(effect.type));
    await new Promise((resolve) => setTimeout(resolve));
    expect(shown).toEqual([]);
    written();
    await received;
    expect(shown).toEqual(["ring"]);
  });

  test("two deliveries at once ring once", async () => {
    const book = await RingBook.open(
      memoryStore(),
      clockAt(() => T0),
    );
    const effects = await Promise.all([book.receive(invitation(), false), book.receive(invitation(), false)]);
    expect(effects.map((effect) => effect.type)).toEqual(["ring", "nothing"]);
  });
});

describe("the ringer", () => {
  beforeEach(() => void vi.useFakeTimers({ now: T0 }));
  afterEach(() => void vi.useRealTimers());

  async function bob(refresh: (ringer: Ringer) => void = () => {}) {
    const clock = clockAt(Date.now);
    const seen: string[] = [];
    const book = await RingBook.open(memoryStore(), clock);
    const ringer: Ringer = new Ringer(book, clock, {
      ring: ({ invitation }) => seen.push(`ring ${invitation}`),
      stop: (invitation, { type }) => seen.push(`stop ${invitation} ${type}`),
      declineAgain: (invitation) => seen.push(`decline ${invitation}`),
      refresh: () => refresh(ringer),
    });
    return { ringer, book, seen };
  }

  test("stops ten seconds past the deadline if no answer comes", async () => {
    const { ringer, book, seen } = await bob();
    (await ringer.receive(invitation(), false))();
    await vi.advanceTimersByTimeAsync(54_999);
    expect(seen).toEqual(["ring i1"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(seen).toEqual(["ring i1", "stop i1 deadline"]);
    expect(book.entry("i1")?.phase).toBe("missed");
  });

  test("goes on past the deadline as long as the service says that the ring stands, and not longer", async () => {
    let standing = [ring({ rev: 2 })];
    let asked = 0;
    const { ringer, seen } = await bob((self) => {
      asked += 1;
      void self.confirm({ state: state({ nowMs: Date.now(), rings: standing }), known: self.known });
    });
    (await ringer.receive(invitation(), false))();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([asked, seen.filter((line) => line.startsWith("stop"))]).toEqual([2, []]);
    standing = [];
    await vi.advanceTimersByTimeAsync(10_000);
    expect(seen.filter((line) => line.startsWith("stop"))).toEqual(["stop i1 gone"]);
  });

  test("an invitation with DUP rings only once the state answer has confirmed it", async () => {
    const { ringer, seen } = await bob();
    (await ringer.receive(invitation(), true))();
    expect(seen).toEqual([]);
    await ringer.confirm({ state: state({ rings: [ring()] }), known: 0 });
    expect(seen).toEqual(["ring i1"]);
  });

  test("what came after the question waits for one more answer, and may have been decided long before it", async () => {
    const questions: number[] = [];
    const { ringer, seen } = await bob((self) => questions.push(self.known));
    (await ringer.receive({ ...invitation(), sentAtMs: T0 }, true))();
    await ringer.confirm({ state: state({ nowMs: T0 + 60_000 }), known: 0 });
    expect([questions, seen], "once since it is held, once since it came after the question").toEqual([[1, 1], []]);
    await ringer.confirm({ state: state({ nowMs: T0 + 61_000, rings: [ring()] }), known: 1 });
    expect([questions.length, seen]).toEqual([2, ["ring i1"]]);
  });

  test("a ring is not stopped by the answer to a question that was asked before it came", async () => {
    const { ringer, seen } = await bob();
    (await ringer.receive({ ...invitation(), sentAtMs: T0 }, false))();
    await ringer.confirm({ state: state({ nowMs: T0 + 5_000 }), known: 0 });
    expect(seen).toEqual(["ring i1"]);
    await ringer.confirm({ state: state({ nowMs: T0 + 5_100 }), known: ringer.known });
    expect(seen).toEqual(["ring i1", "stop i1 gone"]);
  });

  test("an invitation with DUP that the state answer does not know never rings", async () => {
    const { ringer, book, seen } = await bob();
    (await ringer.receive(invitation(), true))();
    await ringer.confirm({ state: state({ outcomes: [outcome()] }), known: 0 });
    expect(seen).toEqual(["stop i1 gone"]);
    expect(book.entry("i1")?.phase).toBe("missed");
  });

  test("an invitation with DUP does not ring while no answer comes, however long that takes", async () => {
    const { ringer, seen } = await bob();
    (await ringer.receive(invitation(), true))();
    await vi.advanceTimersByTimeAsync(40_000);
    expect(seen).toEqual([]);
  });

  test("a missed call that was seen here is not told again, whether the service has heard it or not", async () => {
    const { ringer } = await bob();
    (await ringer.receive(ended(3, { outcome: outcome() }), false))();
    expect(ringer.knows(outcome())).toBe("unseen");
    await ringer.seen(outcome());
    expect(ringer.knows(outcome())).toBe("seen");
    (await ringer.receive(ended(3, { outcome: outcome() }), true))();
    expect(ringer.knows(outcome())).toBe("seen");
    expect(ringer.knows(outcome({ invitation: "i2" }))).toBe("unseen");
    await ringer.seen(outcome({ invitation: "i2" }));
    expect(ringer.knows(outcome({ invitation: "i2" }))).toBe("seen");
  });

  test("an answered ring has no deadline any more", async () => {
    const { ringer, seen } = await bob();
    (await ringer.receive(invitation(), false))();
    await ringer.decided("i1");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(seen).toEqual(["ring i1", "stop i1 admitted"]);
  });
});
