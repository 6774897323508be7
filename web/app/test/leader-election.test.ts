import { describe, expect, test } from "vitest";
import { LeaderElection } from "../src/state/leader-election.ts";

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
    const tabs = [0, 1, 2].map(() => new LeaderElection(() => {}, locks));
    const leading = () => tabs.flatMap(({ isLeader }, i) => (isLeader ? [i] : []));
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
    const [bob, carol] = [new LeaderElection(() => {}, locks), new LeaderElection(() => {}, locks)];
    bob.standFor("bob");
    carol.standFor("carol");
    await settle();
    expect([bob.isLeader, carol.isLeader]).toEqual([true, true]);
  });

  test("each does where the browser has no locks", () => {
    const told: boolean[] = [];
    const lead = new LeaderElection(() => told.push(lead.isLeader), null);
    lead.standFor("bob");
    lead.standFor(undefined);
    expect(told).toEqual([true, false]);
  });
});
