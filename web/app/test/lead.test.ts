import { describe, expect, test } from "vitest";
import { Lead } from "../src/state/lead.ts";

/** The locks of one browser: exclusive ones, in the order in which they were asked for. */
function browser(): LockManager {
  const queues = new Map<string, Promise<unknown>>();
  const request = (name: string, { signal }: LockOptions, held: () => Promise<void>) => {
    const turn = (queues.get(name) ?? Promise.resolve()).then(() => (signal?.aborted ? undefined : held()));
    queues.set(name, turn);
    return turn;
  };
  return { request } as unknown as LockManager;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

describe("among tabs that want to lead", () => {
  test("one does, and the next when that one does not want to any more", async () => {
    const locks = browser();
    const tabs = [0, 1, 2].map(() => new Lead(() => {}, locks));
    const leading = () => tabs.flatMap(({ leads }, i) => (leads ? [i] : []));
    for (const tab of tabs) tab.standFor("bob");
    await settle();
    expect(leading()).toEqual([0]);
    tabs[1]?.standFor(undefined);
    tabs[0]?.standFor(undefined);
    expect(leading()).toEqual([]);
    await settle();
    expect(leading()).toEqual([2]);
  });

  test("those of another user are on their own", async () => {
    const locks = browser();
    const [bob, carol] = [new Lead(() => {}, locks), new Lead(() => {}, locks)];
    bob.standFor("bob");
    carol.standFor("carol");
    await settle();
    expect([bob.leads, carol.leads]).toEqual([true, true]);
  });

  test("each does where the browser has no locks", () => {
    const told: boolean[] = [];
    const lead = new Lead(() => told.push(lead.leads), null);
    lead.standFor("bob");
    lead.standFor(undefined);
    expect(told).toEqual([true, false]);
  });
});
