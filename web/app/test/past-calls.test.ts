import type { Outcome, PastCall } from "@convoke/sdk";
import { describe, expect, test } from "vitest";
import {
  backTo,
  byDay,
  isMissed,
  missedIn,
  pastNames,
  pastWords,
  withNewest,
  withOlder,
} from "../src/state/past-calls.ts";
import { day, lasting } from "../src/texts/format.ts";
import { read } from "./read.ts";

function past(meeting: string, more: Partial<PastCall> = {}): PastCall {
  const bob = { user: "bob", name: "Bob" };
  return {
    meeting,
    direction: "received",
    media: "audio",
    result: "answered",
    others: 0,
    startedAtMs: new Date(2026, 10, 24, 12).getTime(),
    with: [bob],
    ...more,
  };
}

const meetings = ({ calls }: { calls: readonly PastCall[] }) => calls.map(({ meeting }) => meeting).join(" ");

describe("the list of calls that are over", () => {
  const known = { status: "known", calls: [past("c"), past("d")], next: "e" } as const;

  test("grows at its end by an older page", () => {
    const list = withOlder(known, { calls: [past("d"), past("e")], next: "f" });
    expect([meetings(list), list.next]).toEqual(["c d e", "f"]);
    expect(withOlder(known, { calls: [past("e")] }).next).toBeUndefined();
  });

  test("grows at its top by the newest page, and keeps what was read of the older", () => {
    const list = withNewest(known, { calls: [past("a"), past("c", { result: "missed" })], next: "d" });
    expect([meetings(list), list.next]).toEqual(["a c d", "e"]);
    expect(list.calls[1]?.result).toBe("missed");
  });

  test("begins anew where the newest page does not meet what was read", () => {
    const list = withNewest(known, { calls: [past("a"), past("b")], next: "c" });
    expect([meetings(list), list.next]).toEqual(["a b", "c"]);
  });

  test("shows the missed calls that stand in it, and no other", () => {
    const missed = ["b", "c"].map((meeting) => ({ meeting }) as Outcome);
    expect(missedIn(missed, known).map(({ meeting }) => meeting)).toEqual(["c"]);
  });

  test("has a heading for each day", () => {
    const at = (date: number) => past(`m${date}`, { startedAtMs: new Date(2026, 10, date, 12).getTime() });
    expect(byDay([at(3), at(3), at(2)]).map(({ calls }) => calls.length)).toEqual([2, 1]);
  });
});

describe("a call that is over", () => {
  test.each<[Partial<PastCall>, string]>([
    [{ durationMs: 187_000 }, "Called you · 3 min"],
    [{ direction: "made", durationMs: 42_000 }, "You called · 42 sec"],
    [{ result: "missed" }, "Missed"],
    [{ result: "declined" }, "You declined"],
    [{ direction: "made", result: "declined" }, "You called · declined"],
    [{ direction: "made", result: "no_answer" }, "You called · no answer"],
    [{ direction: "made", result: "busy" }, "You called · busy in another call"],
    [{ direction: "made", result: "cancelled" }, "You called · you gave up"],
    [{ direction: "made", result: "failed" }, "You called · interrupted"],
    [{ result: "failed" }, "Called you · interrupted"],
  ])("%o is told as %s", (more, words) => {
    expect(read(pastWords(past("m", more)))).toBe(words);
  });

  test("names with whom it was, and counts the rest", () => {
    expect(read(pastNames(past("m", { others: 2 })))).toBe("Bob and 2 more");
    expect(pastNames(past("m", { with: [] }))).toBe("Nobody");
  });

  test("that came in is called back to the one who called, one that was made to all", () => {
    const who = ["bob", "carol"].map((user) => ({ user, name: user }));
    expect(backTo(past("m", { with: who }))).toEqual(["bob"]);
    expect(backTo(past("m", { with: who, direction: "made" }))).toEqual(["bob", "carol"]);
  });

  test("was missed only by the one who was called", () => {
    expect(
      [past("m", { result: "missed" }), past("m", { direction: "made", result: "no_answer" })].map(isMissed),
    ).toEqual([true, false]);
  });
});

test.each([
  [400, "1 sec"],
  [59_400, "59 sec"],
  [59_900, "1 min"],
  [3_599_000, "1 hr"],
  [3_900_000, "1 hr 5 min"],
])("%d ms are told as %s", (ms, words) => {
  expect(read(lasting(ms))).toBe(words);
});

test.each([
  [0, "Today"],
  [-1, "Yesterday"],
  [-2, "Sunday, November 22"],
  [-400, "Monday, October 20, 2025"],
])("a day %d days from today has the heading %s", (days, words) => {
  const now = new Date(2026, 10, 24, 0, 30);
  const at = new Date(2026, 10, 24 + days, 23, 30);
  expect(day(at.getTime(), now.getTime())).toBe(words);
});
