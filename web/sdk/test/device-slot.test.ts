import { describe, expect, test } from "vitest";
import { browserOf, claimSlot, type DeviceSlotContext, slotOrder, takeSlot } from "../src/core/device-slot.ts";

/** Web Locks of one browser, as far as slots use them (w3c/web-locks: exclusive, ifAvailable, steal, signal). */
class Locks {
  readonly #held = new Map<string, (reason: Error) => void>();

  async request(name: string, options: LockOptions, run: (lock: Lock | null) => unknown): Promise<unknown> {
    const stolen = this.#held.get(name);
    if (stolen && options.ifAvailable) return run(null);
    if (stolen && options.signal) return this.#wait(options.signal);
    if (stolen) stolen(new DOMException("stolen", "AbortError"));
    let lose = (_reason: Error) => {};
    const lost = new Promise((_, reject) => {
      lose = reject;
    });
    this.#held.set(name, lose);
    const result = await Promise.race([run({ name, mode: "exclusive" }), lost]);
    if (this.#held.get(name) === lose) this.#held.delete(name);
    return result;
  }

  #wait(signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  }
}

class Browser {
  readonly #locks = new Locks() as unknown as LockManager;
  readonly #local = storage();

  tab(session = storage()): DeviceSlotContext {
    return { locks: this.#locks, local: this.#local, session };
  }
}

function storage(): DeviceSlotContext["local"] {
  const values = new Map<string, string>();
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => void values.set(key, value) };
}

const never = () => expect.unreachable("no slot was to be lost");

describe("device slots", () => {
  test("four tabs of one person are four devices of one browser", async () => {
    const browser = new Browser();
    const claims = [];
    for (let i = 0; i < 4; i++) claims.push(await claimSlot("alice", browser.tab(), never));
    expect(claims.map((claim) => claim.slot)).toEqual([0, 1, 2, 3]);
    expect(new Set(claims.map((claim) => claim.device.replace(/-\d$/, ""))).size).toBe(1);
    expect(claims[0]?.device).toBe("web-alice-0");
  });

  test("a fifth tab takes slot 0 over, and its holder is told", async () => {
    const browser = new Browser();
    const lost: number[] = [];
    for (let i = 0; i < 4; i++) await claimSlot("alice", browser.tab(), () => lost.push(i));
    const fifth = await claimSlot("alice", browser.tab(), never);
    await Promise.resolve();
    expect([fifth.slot, lost]).toEqual([0, [0]]);
  });

  test("an account has one name for its devices in a browser, and another has another", () => {
    const local = storage();
    expect(browserOf("alice", local)).toMatch(/^[0-9a-f]{8}$/);
    expect(browserOf("alice", local)).toBe(browserOf("alice", local));
    expect(browserOf("bob", local)).not.toBe(browserOf("alice", local));
  });

  test("two people in one browser do not share slots", async () => {
    const browser = new Browser();
    const alice = await claimSlot("alice", browser.tab(), never);
    const bob = await claimSlot("bob", browser.tab(), never);
    expect([alice.slot, bob.slot]).toEqual([0, 0]);
    expect(alice.device).not.toBe(bob.device);
  });

  test("a reload is the same device although lower slots are free", async () => {
    const browser = new Browser();
    const first = await claimSlot("alice", browser.tab(), never);
    const session = storage();
    const before = await claimSlot("alice", browser.tab(session), never);
    first.release();
    before.release();
    await new Promise((resolve) => setTimeout(resolve));
    const after = await claimSlot("alice", browser.tab(session), never);
    expect(after.device).toBe(before.device);
  });

  test("a duplicated tab, whose remembered slot is held, becomes another device", async () => {
    const browser = new Browser();
    const session = storage();
    const original = await claimSlot("alice", browser.tab(session), never);
    const copy = await claimSlot("alice", browser.tab(session), never);
    expect([original.slot, copy.slot]).toEqual([0, 1]);
  });

  test("use it here takes the slot back from the tab that took it", async () => {
    const browser = new Browser();
    const lost: string[] = [];
    await claimSlot("alice", browser.tab(), () => lost.push("first"));
    await takeSlot("alice", 0, browser.tab(), () => lost.push("second"));
    await takeSlot("alice", 0, browser.tab(), never);
    await Promise.resolve();
    expect(lost).toEqual(["first", "second"]);
  });

  test("without locks a page is slot 0", async () => {
    const claim = await claimSlot("alice", { locks: undefined, local: storage(), session: storage() }, never);
    expect(claim.slot).toBe(0);
  });

  test("the remembered slot is tried first, each other one once", () => {
    expect(slotOrder(2)).toEqual([2, 0, 1, 3]);
  });
});
