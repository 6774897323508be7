/** The model of a page whose client and calls are what the test says. */

import { type Call, type CallState, type Client, type ClientState, ConvokeError } from "@convoke/sdk";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Controller } from "../src/state/controller.ts";
import { createModel } from "../src/state/model.ts";
import type { Sounds } from "../src/state/sounds.ts";
import { read } from "./read.ts";

beforeEach(() => {
  vi.useFakeTimers();
  const page = { addEventListener: () => {}, visibilityState: "visible", hasFocus: () => true };
  vi.stubGlobal("document", page);
  vi.stubGlobal("window", page);
  vi.stubGlobal("navigator", {});
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});
const settle = () => vi.advanceTimersByTimeAsync(0);

/** Whatever tells something by events. */
function teller() {
  const heard: [string, (value: never) => void][] = [];
  const on = (event: string, run: (value: never) => void) => void heard.push([event, run]);
  const tell = (event: string, value: unknown) => {
    for (const [name, run] of heard) if (name === event) run(value as never);
  };
  return { on, tell };
}

function ringing(): CallState {
  return {
    meeting: "m1",
    me: "bob",
    direction: "in",
    media: "audio",
    from: { user: "alice", name: "Alice" },
    phase: "incoming",
    admitted: false,
    progress: {},
    roster: { rev: 1, host: "alice", members: [] },
    path: "idle",
    signalling: "up",
    muted: { audio: false, video: true },
    blocked: { audio: false, video: false },
    blockedBy: {},
    asked: {},
  };
}

function ring() {
  const { on, tell } = teller();
  const call = { on, state: ringing(), meeting: "m1", accept: async () => {}, receives: () => true };
  const becomes = (more: Partial<CallState>) => {
    call.state = { ...call.state, ...more };
    tell("state", call.state);
  };
  return { call: call as unknown as Call, tell, becomes };
}

function page() {
  const { on, tell } = teller();
  const history = vi.fn(async () => ({ calls: [] }));
  const client = {
    on,
    history,
    identity: { user: "bob", name: "Bob" },
    nowMs: () => 0,
    connect: async () => {},
    watchContacts: () => {},
  };
  const sounds = { follow: () => {}, ended: () => {}, unlock: async () => true };
  const model = createModel(false);
  const controller = new Controller(model, client as unknown as Client, sounds as unknown as Sounds);
  controller.start();
  const is = (type: ClientState["type"]) => tell("state", { type });
  return { model, controller, tell, is, history };
}

describe("a page", () => {
  test.each<[string, (page_: ReturnType<typeof page>) => void]>([
    ["rung", ({ tell }) => tell("incoming", ring().call)],
    ["in a call", ({ tell }) => tell("call", ring().call)],
    ["not this device any more", ({ is }) => is("elsewhere")],
    ["signed out", ({ is }) => is("idle")],
  ])("that is %s tries its ring no longer", (_, happens) => {
    const all = page();
    all.controller.testRing();
    happens(all);
    expect(all.model.testRings.value).toBe(false);
  });

  test("tells once what happens in a call that was answered twice", () => {
    const { model, controller, tell } = page();
    const alice = ring();
    tell("incoming", alice.call);
    controller.accept("m1", false);
    alice.becomes({ phase: "incoming" });
    controller.accept("m1", false);
    model.notices.value = [];
    alice.tell("roster", [{ type: "joined", name: "Carol" }]);
    expect(model.notices.value.map(({ text }) => read(text))).toEqual(["Carol joined."]);
  });

  test("plays a call though the sound of the one before was blocked, until the browser says so again", () => {
    const { model, controller, tell } = page();
    controller.soundBlocked();
    tell("call", ring().call);
    expect(model.soundBlocked.value).toBe(false);
  });

  test("shows what does not work once, however often it fails", () => {
    const { model, tell } = page();
    const alice = ring();
    tell("call", alice.call);
    const problems = [
      { error: new ConvokeError("server_unreachable") },
      { device: "camera", error: new ConvokeError("device_denied") },
      { error: new ConvokeError("server_unreachable") },
      { device: "camera", error: new ConvokeError("device_missing") },
    ];
    for (const problem of problems) alice.tell("problem", problem);
    expect(model.problems.value).toEqual(problems.slice(2));
  });

  test("reads the calls that are over again once the server is back", async () => {
    const { model, is, history } = page();
    history.mockRejectedValueOnce(new Error("no answer"));
    is("online");
    await settle();
    expect(model.history.value.status).toBe("failed");
    is("offline");
    is("online");
    await settle();
    expect(model.history.value.status).toBe("known");
  });
});
