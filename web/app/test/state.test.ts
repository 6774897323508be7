import { type CallState, ConvokeError } from "@convoke/sdk";
import { describe, expect, test } from "vitest";
import { blockWords } from "../src/state/block-words.ts";
import { endWords, invitationNews, staysOpen } from "../src/state/end-words.ts";
import { watchKeys } from "../src/state/keyboard.ts";
import { readLink, rememberAccount, tabAccount } from "../src/state/link.ts";
import { type Actions, createModel } from "../src/state/model.ts";
import { alsoThere } from "../src/state/people-in-call.ts";
import { TroubleWatch } from "../src/state/trouble.ts";
import { read } from "./read.ts";

function ended(more: Partial<CallState>): CallState {
  const members = [
    { user: "alice", name: "Alice", state: "in" as const },
    { user: "bob", name: "Bob", state: "invited" as const },
  ];
  return {
    meeting: "m1",
    me: "alice",
    direction: "out",
    media: "video",
    phase: "ended",
    admitted: true,
    progress: { bob: { type: "calling" } },
    roster: { rev: 1, host: "alice", members },
    path: "idle",
    signalling: "up",
    muted: { audio: false, video: false },
    blocked: { audio: false, video: false },
    blockedBy: {},
    asked: {},
    ...more,
  };
}

describe("a block", () => {
  test.each([
    [undefined, "Your speech is blocked."],
    ["alice", "The host has blocked your speech."],
    [":operator", "The operator of the server has blocked your speech."],
  ])("by %s is told as %s", (by, words) => {
    expect(blockWords(ended({ blockedBy: { audio: by } }), "audio")).toContain(words);
  });
});

describe("how a call ended", () => {
  test.each<[Partial<CallState>, string]>([
    [{ end: { reason: "no_answer" } }, "No answer"],
    [{ progress: { bob: { type: "busy" } }, end: { reason: "failed" } }, "Bob is in another call"],
    [{ progress: { bob: { type: "rejected", reason: "declined" } }, end: { reason: "declined" } }, "Bob declined"],
    [{ end: { reason: "refused", error: new ConvokeError("refused_limit") } }, "That was too often."],
    [{ end: { reason: "refused", error: new ConvokeError("server_unreachable") } }, "The call could not be started"],
    [{ end: { reason: "kicked" } }, "You were removed from the call"],
    [{ end: { reason: "destroyed", by: "bob" } }, "The host ended the call"],
    [{ end: { reason: "destroyed", by: ":operator" } }, "The operator of the server ended the call"],
  ])("%o is told as %s and stays until it is read", (more, title) => {
    const state = ended(more);
    expect(read(endWords(state, undefined).title)).toBe(title);
    expect(staysOpen(state)).toBe(true);
  });

  const callOfSomebody: Partial<CallState> = { roster: { rev: 0, members: [] }, progress: { bob: { type: "busy" } } };

  test("somebody whom the roster does not name is named as in the list of people", () => {
    const state = ended({ ...callOfSomebody, end: { reason: "failed" } });
    expect(read(endWords(state, [{ user: "bob", name: "Bob Okafor" }]).title)).toBe("Bob Okafor is in another call");
  });

  test("a call of somebody who does not exist says that there is no such person, and what helps", () => {
    const error = new ConvokeError("refused_not_allowed");
    const words = endWords(ended({ ...callOfSomebody, end: { reason: "refused", error } }), undefined);
    expect(read(words.title)).toBe("There is no bob whom you may call");
    expect(words.detail).toContain("Ask your administrator.");
  });

  test.each<[Partial<CallState>]>([
    [{ end: { reason: "left", by: "alice" } }],
    [{ end: { reason: "cancelled", by: "alice" } }],
    [{ joinedAtMs: 1, end: { reason: "destroyed", by: "bob" } }],
    [{ direction: "in", end: { reason: "answered_elsewhere" } }],
  ])("%o only passes by", (more) => {
    expect(staysOpen(ended(more))).toBe(false);
  });
});

describe("who was rung into a call", () => {
  const joined = (progress: CallState["progress"]) => ended({ phase: "joined", progress });

  test.each<[CallState["progress"][string], string[]]>([
    [{ type: "busy" }, ["Bob is in another call"]],
    [{ type: "rejected", reason: "declined" }, ["Bob declined"]],
    [{ type: "over", reason: "no_answer" }, ["Bob did not answer."]],
    [{ type: "over", reason: "cancelled" }, []],
    [{ type: "ringing" }, []],
  ])("and came to %o is told once", (progress, words) => {
    const after = joined({ bob: progress });
    expect(invitationNews(joined({ bob: { type: "calling" } }), after, undefined).map(read)).toEqual(words);
    expect(invitationNews(after, { ...after, path: "up" }, undefined)).toEqual([]);
  });

  test("is told on the screen of its end if nobody else is in", () => {
    expect(
      invitationNews(ended({ phase: "calling" }), ended({ progress: { bob: { type: "busy" } } }), undefined),
    ).toEqual([]);
  });
});

describe("what is down", () => {
  type Facts = Pick<CallState, "signalling" | "path" | "phase">;
  const fine: Facts = { signalling: "up", path: "up", phase: "joined" };
  const GO_ON = "Connection to the service lost. Pictures and sound go on; reconnecting…";
  const BOTH = "Connection lost. Reconnecting…";
  const MEDIA = "Pictures and sound interrupted. Reconnecting…";

  /** What shows, each time that it changes, while `at` is so; four looks a second. */
  function shown(untilMs: number, at: (ms: number) => Partial<CallState> & { receives?: boolean }) {
    const watch = new TroubleWatch();
    const changes: [number, string | undefined][] = [];
    for (let ms = 0; ms <= untilMs; ms += 250) {
      const { receives = false, ...facts } = at(ms);
      const words = watch.look(ended({ ...fine, ...facts }), receives, ms)?.words;
      if (words !== changes.at(-1)?.[1]) changes.push([ms, words]);
    }
    return changes;
  }

  test("is said within a second, and does not say that pictures go on which have just stopped", () => {
    const changes = shown(10_000, (ms) => ({ signalling: "down", receives: ms < 1_100 }));
    expect(changes).toEqual([[750, BOTH]]);
  });

  test("is the service alone where pictures go on", () => {
    const changes = shown(30_000, () => ({ signalling: "down", receives: true }));
    expect(changes).toEqual([
      [750, BOTH],
      [2_000, GO_ON],
    ]);
  });

  test("does not go to and fro while pictures come and go", () => {
    const changes = shown(60_000, (ms) => ({ signalling: "down", receives: ms % 4_000 < 2_500 }));
    expect(changes.map(([, words]) => words)).toEqual([BOTH, GO_ON, BOTH]);
  });

  test("is said of pictures that stop, and stands long enough to be read", () => {
    const changes = shown(5_000, (ms) => (ms === 1_000 ? { path: "doubtful" } : {}));
    expect(changes).toEqual([
      [1_000, MEDIA],
      [2_250, undefined],
    ]);
  });

  test("is nothing if the service is away for half a second", () => {
    expect(shown(5_000, (ms) => (ms >= 1_000 && ms < 1_500 ? { signalling: "down" } : {}))).toEqual([]);
  });

  test("keeps its reason while media that cannot connect is tried again", () => {
    const pathError = new ConvokeError("media_unreachable");
    const changes = shown(30_000, (ms) => (ms < 8_000 ? { path: "connecting" } : { path: "failed", pathError }));
    expect(changes).toHaveLength(1);
    expect(changes[0]?.[1]).toContain("Pictures and sound cannot get through");
  });
});

describe("the page's link", () => {
  function session() {
    const values = new Map<string, string>();
    return {
      getItem: (key: string) => values.get(key) ?? null,
      setItem: (key: string, value: string) => void values.set(key, value),
      removeItem: (key: string) => void values.delete(key),
    };
  }

  test("is not remembered; that the speaker is off is", () => {
    const tab = session();
    expect(readLink("#login=s3cret&speaker=off", tab)).toEqual({ secret: "s3cret", speakerOff: true });
    expect(readLink("", tab)).toEqual({ secret: undefined, speakerOff: true });
  });

  test("without speaker=off leaves the speaker on", () => {
    expect(readLink("#login=s3cret", session()).speakerOff).toBe(false);
  });

  test("belongs to an account, which the tab remembers until it leaves", () => {
    const tab = session();
    rememberAccount("0a1b2c3d", tab);
    expect(tabAccount(tab)).toBe("0a1b2c3d");
    rememberAccount(undefined, tab);
    expect(tabAccount(tab)).toBeUndefined();
  });
});

describe("keys", () => {
  function keyboard() {
    const done: string[] = [];
    const actions = new Proxy(
      {},
      { get: (_, name) => (value: unknown) => done.push(`${String(name)} ${value ?? ""}`.trim()) },
    );
    const model = createModel(false);
    model.call.value = ended({ phase: "joined" });
    let listener = (_event: Partial<KeyboardEvent>) => {};
    const target = { addEventListener: (_: string, it: never) => (listener = it) };
    watchKeys(model, actions as Actions, target as never);
    const press = (key: string, more: Partial<KeyboardEvent> = {}) =>
      listener({ key, preventDefault: () => {}, ...more });
    return { press, done, model };
  }

  test("steer a call", () => {
    const { press, done, model } = keyboard();
    for (const key of ["m", "V", "p", "i"]) press(key);
    model.panel.value = "people";
    press("p");
    press("Escape");
    expect(done).toEqual(["toggleMicrophone", "toggleCamera", "panel people", "panel invite", "panel", "panel"]);
  });

  test("are text in a text field, and a browser's own with a modifier", () => {
    const { press, done } = keyboard();
    press("m", { target: { tagName: "INPUT" } as never });
    press("m", { ctrlKey: true });
    press("m", { repeat: true });
    expect(done).toEqual([]);
  });

  test("do nothing outside of a call, and while a ring covers the one that is being made", () => {
    const { press, done, model } = keyboard();
    model.ringing.value = [{ key: "m2", state: ended({ phase: "incoming" }) }];
    model.call.value = ended({ phase: "calling" });
    press("m");
    model.ringing.value = [];
    model.call.value = undefined;
    press("m");
    expect(done).toEqual([]);
  });
});

describe("who is in a call that rings", () => {
  const ringing = (count: number, ...names: string[]) =>
    read(alsoThere({ from: { user: "alice", name: "Alice" }, inside: { members: count, names } }));

  test("is named without the caller, and counted past three", () => {
    expect(ringing(1, "Alice")).toBeUndefined();
    expect(ringing(2, "Alice", "Bob")).toBe("Bob");
    expect(ringing(12, "Alice", "Bob", "Carol", "Dmitri", "Esmé")).toBe("Bob, Carol, Dmitri, and 8 more");
  });

  test("is counted without the caller who is not among the names, unless all are named", () => {
    expect(ringing(12, "Bob", "Carol", "Dmitri", "Esmé")).toBe("Bob, Carol, Dmitri, and 8 more");
    expect(ringing(2, "Bob", "Carol")).toBe("Bob and Carol");
  });
});
