import { describe, expect, test } from "vitest";
import { since } from "../src/state/call-start.ts";

describe("the clock of a call", () => {
  const storage = () => {
    const values = new Map<string, string>();
    return {
      getItem: (key: string) => values.get(key) ?? null,
      setItem: (key: string, v: string) => void values.set(key, v),
    };
  };

  test("goes on after a reload, and begins anew with another meeting", () => {
    const browser = storage();
    expect(since("alice", "m1", 1_000, browser)).toBe(1_000);
    expect(since("alice", "m1", 90_000, browser)).toBe(1_000);
    expect(since("bob", "m1", 2_000, browser)).toBe(2_000);
    expect(since("alice", "m2", 95_000, browser)).toBe(95_000);
  });

  test("runs where the browser keeps nothing", () => {
    const full = {
      getItem: () => null,
      setItem: () => {
        throw new DOMException("full", "QuotaExceededError");
      },
    };
    expect(since("alice", "m1", 1_000, undefined)).toBe(1_000);
    expect(since("alice", "m1", 1_000, full)).toBe(1_000);
  });
});
