import { describe, expect, test } from "vitest";
import { en } from "../src/texts/en.ts";
import { duration, initials, names, tint, when } from "../src/texts/format.ts";
import { t } from "../src/texts/t.ts";

describe("texts", () => {
  test("take their values", () => {
    expect(t("presence.offline_since", { when: "12:31" })).toBe("Offline since 12:31");
  });

  test.each(["Alice", "ليلى", "\u202eecilA", "נועה 1"])("keep the name %j in its own direction", (name) => {
    expect(t("live.rings", { name })).toBe(`\u2068${name}\u2069 is calling.`);
    expect(names([name, "Bob"])).toBe(`\u2068${name}\u2069 and \u2068Bob\u2069`);
  });

  test("want their values at compile time", () => {
    // @ts-expect-error the value is missing
    expect(t("live.rings")).toBe("{name} is calling.");
    // @ts-expect-error there is no such key
    expect(() => t("no.such.key")).toThrow();
  });

  test("are never empty", () => {
    expect(Object.entries(en).filter(([, text]) => text.trim() === "")).toEqual([]);
  });

  test("are all used, by their key or by one that is put together", () => {
    const sources = import.meta.glob<string>("../src/**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });
    const code = Object.entries(sources).flatMap(([path, text]) => (path.endsWith("/en.ts") ? [] : [text]));
    const isError = (key: string) => /^(error|remedy)\./.test(key);
    const isUsed = (key: string) => code.some((text) => text.includes(`"${key}"`) || text.includes(family(key)));
    const family = (key: string) => `\`${key.split(".")[0]}.$\{`;
    expect(code.length).toBeGreaterThan(20);
    expect(Object.keys(en).filter((key) => !isError(key) && !isUsed(key))).toEqual([]);
  });
});

describe("formats", () => {
  const at = new Date(2026, 10, 24, 12, 31).getTime();

  test.each([
    [at + 60_000, /^12:31/],
    [at + 2 * 24 * 3_600_000, /^Tue 12:31/],
    [at + 30 * 24 * 3_600_000, /Nov|24/],
  ])("a moment seen from %d is told as %s", (nowMs, shown) => {
    expect(when(at, nowMs)).toMatch(shown);
  });

  test.each([
    [0, "0:00"],
    [187_000, "3:07"],
    [3_729_000, "1:02:09"],
    [-5, "0:00"],
  ])("%d ms last %s", (ms, shown) => {
    expect(duration(ms)).toBe(shown);
  });

  test.each([
    ["Alice Marsh", "AM"],
    ["bob", "B"],
    ["Ana María de la Cruz", "AC"],
    ["\u200b\u200bbob", "B"],
    ["e\u0301mile zola", "E\u0301Z"],
    ["(Bob) Smith", "BS"],
    ["👩‍👩‍👧 👍🏽", "👩‍👩‍👧"],
    ["नेहा", "ने"],
    ["נועה לוי (3)", "נל"],
    ["(3)", "("],
    ["ليلى حداد", "ل\u200cح"],
    ["", ""],
  ])("%s has the initials %s", (name, shown) => {
    expect(initials(name)).toBe(shown);
  });

  test("a tint is always the same and one of six", () => {
    expect(tint("alice")).toBe(tint("alice"));
    expect(["alice", "bob", "carol", ""].every((user) => tint(user) >= 0 && tint(user) < 6)).toBe(true);
  });
});
