import { describe, expect, test } from "vitest";
import { shownName, shownText } from "../src/core/shown-text.ts";
import { decodeDown } from "../src/signalling/decode.ts";

function decoded(body: object) {
  const payload = new TextEncoder().encode(JSON.stringify({ v: 1, id: "s1", ...body }));
  return decodeDown("meeting-down/p2p/x/y", payload)?.down;
}

describe("a shown text", () => {
  test.each([
    ["\u202eecilA", "ecilA"],
    ["\u2066Bob\u2069\u2067", "Bob"],
    ["Stand\u001b[31mup", "Stand[31mup"],
    ["one\u2028two\u0000\u0085", "onetwo"],
    ["\u200b\u200b", ""],
    [" \u00a0\u3164\ufe0f\u202e", ""],
    ["\u2800\u00ad\u{e0100}", ""],
    ["Alice Marsh", "Alice Marsh"],
    ["ليلى حداد", "ليلى حداد"],
    ["נועה\u200f לוי", "נועה\u200f לוי"],
    ["👩\u200d👧", "👩\u200d👧"],
    ["می\u200cخواهم", "می\u200cخواهم"],
  ])("%j is %j", (text, shown) => {
    expect(shownText(text)).toBe(shown);
  });

  test("of which nothing is left is the user id, where it names a user", () => {
    expect(shownName("\u200b\u200b", "mallory")).toBe("mallory");
    expect(shownName("\u202eecilA", "mallory")).toBe("ecilA");
  });
});

describe("a signal is read with names and titles that are fit to be shown", () => {
  test("of who rings, and who is there", () => {
    const ring = {
      type: "invitation",
      from: "mallory",
      title: "\u001b",
      names: ["\u202eecilA", "\u200b\u200b", "Bob"],
    };
    expect(decoded({ ...ring, from_name: "\u200b" })).toEqual({
      v: 1,
      id: "s1",
      type: "invitation",
      from: "mallory",
      fromName: "mallory",
      names: ["ecilA", "Bob"],
    });
  });

  test("in a roster and in a list of people", () => {
    const members = [{ user: "mallory", name: "\u202eecilA", state: "in" }];
    expect(decoded({ type: "roster", rev: 1, members })).toMatchObject({ members: [{ name: "ecilA" }] });
    expect(decoded({ type: "contacts", users: [{ user: "eve", name: "\u2060" }] })).toMatchObject({
      users: [{ user: "eve", name: "eve" }],
    });
  });

  test("and with nothing else changed", () => {
    const down = { type: "refused", code: "invalid", words: "\u202ewords", token: "\u200b" };
    expect(decoded(down)).toMatchObject(down);
  });
});
