import type { Contact, PastCall } from "@convoke/sdk";
import { describe, expect, test } from "vitest";
import { asBefore, found, inOrder, recentUsers } from "../src/state/search.ts";

function people(...users: string[]): Contact[] {
  return users.map((text) => {
    const [user = "", presence = "offline"] = text.split(" ");
    return { user, name: user.toUpperCase(), presence } as Contact;
  });
}

const users = (contacts: readonly Contact[]) => contacts.map(({ user }) => user).join(" ");

describe("a list of people", () => {
  const twelve = people("a", "b online", "c", "d", "e in_call", "f", "g", "h online", "i", "j", "k", "l");

  test("of ten stands as the service lists it", () => {
    expect(users(inOrder(twelve.slice(0, 10), ["j"]))).toBe("a b c d e f g h i j");
  });

  test("of more begins with the last calls, then who can be reached", () => {
    expect(users(inOrder(twelve, ["k", "nobody", "h"]))).toBe("k h b e a c d f g i j l");
  });

  test("names five of the last calls first", () => {
    expect(users(inOrder(twelve, ["l", "k", "j", "i", "g", "f"]))).toBe("l k j i g b e h a c d f");
  });

  test("that is being pointed at keeps its rows in place, and shows what they do now", () => {
    const before = inOrder(twelve, []);
    const now = people("l online", "z", ...before.slice(0, 11).map(({ user }) => user));
    const shown = asBefore(before, now.slice(0, -1));
    expect(users(shown)).toBe("b e h a c d f g i j l z");
    expect(shown.find(({ user }) => user === "l")?.presence).toBe("online");
  });
});

describe("a search", () => {
  const contacts = [
    { user: "esme", name: "Esmé Fairweather-Castellanos", presence: "online" },
    { user: "carol", name: "Carol Núñez", presence: "online" },
    { user: "layla", name: "ليلى حداد", presence: "online" },
    { user: "u-7731", name: "Dmitri Halonen", presence: "online" },
  ] as const;

  test.each([
    ["nun", "carol"],
    ["NÚÑ", "carol"],
    ["esme", "esme"],
    ["castel esm", "esme"],
    ["ليلى", "layla"],
    ["7731", "u-7731"],
    ["  ", "esme carol layla u-7731"],
    ["nobody", ""],
  ])("for %j finds %j", (wanted, who) => {
    expect(users(found(contacts, wanted))).toBe(who);
  });
});

test("the last calls name each of their people once, the latest first", () => {
  const call = (...who: string[]) => ({ with: who.map((user) => ({ user, name: user })) }) as PastCall;
  expect(recentUsers([call("bob"), call("carol", "bob"), call("dmitri")])).toEqual(["bob", "carol", "dmitri"]);
});
