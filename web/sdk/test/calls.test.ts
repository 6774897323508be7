import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Call } from "../src/call/call.ts";
import { Calls } from "../src/calls.ts";
import { RingBook } from "../src/ring/book.ts";
import { Ringer } from "../src/ring/ringer.ts";
import { memoryStore } from "../src/ring/store.ts";
import { Outbox } from "../src/signalling/outbox.ts";
import { Requests } from "../src/signalling/requests.ts";
import type { Down, StandingCall, State, Up } from "../src/wire.ts";
import { clockAt, envelope, invitation, member, ring, roster, state, T0 } from "./fixtures.ts";

/** Bob's device without a browser: rings and calls as the client wires them; nothing is captured or joined. */
async function bob(up = true) {
  const clock = clockAt(() => T0);
  const rings: Call[] = [];
  const began: Call[] = [];
  const sent: Up[] = [];
  const states: ("engaged" | "free")[] = [];
  const publish = async (_topic: string, payload: string) => void sent.push(JSON.parse(payload));
  const requests = new Requests(new Outbox({ publish, isUp: () => true }), clock);
  const calls: Calls = new Calls({
    requests,
    me: () => "bob",
    nowMs: () => clock.nowMs(),
    isUp: () => up,
    declined: async (id) => ringer.declined(id),
    decided: (id) => void ringer.decided(id),
    began: (call) => began.push(call),
    rings: (call) => rings.push(call),
    engaged: (engaged) => void states.push(engaged ? "engaged" : "free"),
    receiving: () => {},
  });
  const ringer: Ringer = new Ringer(await RingBook.open(memoryStore(), clock), clock, {
    ring: (rung) => calls.ring({ ...rung, join: undefined as never }),
    stop: (id, reason) => calls.stopRing(id, reason),
    declineAgain: () => {},
    refresh: () => {},
  });
  const rung = async () => {
    (await ringer.receive(invitation(), false))();
    const call = rings[0] as Call;
    call.apply({ type: "local_accept" });
    return call;
  };
  const confirm = (answer: Partial<State>) => ringer.confirm({ state: state(answer), known: ringer.known });
  const types = () => sent.map((up) => up.type);
  const leaving = () => types().filter((type) => type !== "mute");
  return { states, rings, began, rung, confirm, calls, types, leaving, signal: (down: Down) => calls.signal(down) };
}

describe("a device", () => {
  test("is engaged from the ring to its end", async () => {
    const { states, calls } = await bob();
    calls.ring({ ...ring(), join: undefined as never });
    expect(states).toEqual(["engaged"]);
    calls.all()[0]?.apply({ type: "local_end", end: { reason: "no_answer" } });
    expect(states).toEqual(["engaged", "free"]);
  });
});

describe("a ring that was accepted here", () => {
  test("does not ring again after the accept was refused, though the call still stands", async () => {
    const { rings, rung, confirm, signal } = await bob();
    const call = await rung();
    signal({ ...envelope, type: "refused", code: "already_in_call", words: "you are in another call: leave it first" });
    expect(call.state.end?.reason).toBe("refused");
    await confirm({ rings: [ring({ rev: 2 })] });
    expect(rings).toHaveLength(1);
  });

  test("is over when the state knows neither the ring nor the call: the answer came while this device was off", async () => {
    const { rung, confirm } = await bob();
    const call = await rung();
    await confirm({ rings: [ring()] });
    expect(call.state.phase).toBe("accepting");
    await confirm({});
    expect(call.state.end?.reason).toBe("failed");
  });

  test("is accepted again if the service has not heard it, and says again that it rings", async () => {
    const { rings, rung, confirm, types } = await bob();
    const call = await rung();
    expect(types()).toEqual(["ringing"]);
    await confirm({ rings: [ring()] });
    await vi.waitFor(() => expect(types()).toEqual(["ringing", "accept"]));
    expect([rings.length, call.state.phase]).toEqual([1, "accepting"]);
  });
});

describe("a call whose admission was lost with its connection", () => {
  beforeEach(() => void vi.useFakeTimers({ now: T0 }));
  afterEach(() => void vi.useRealTimers());

  const standing = (meeting: string, more: Partial<StandingCall> = {}): StandingCall => ({
    meeting,
    media: "audio",
    here: true,
    roster: roster(4, member("bob", "in"), member("alice", "ringing")),
    ...more,
  });

  async function calling() {
    const device = await bob();
    const call = device.calls.create(["alice"], "audio", undefined);
    await vi.advanceTimersByTimeAsync(10);
    return { ...device, call, later: performance.now() };
  }

  test("ends by the state that does not know it, and is taken back", async () => {
    const { calls, call, types, later } = await calling();
    calls.reconcile(undefined, later);
    await vi.advanceTimersByTimeAsync(0);
    expect([call.state.end?.reason, types()]).toEqual(["failed", ["create", "cancel"]]);
  });

  test("is shown as cut off from the start if it is made while the service is away", async () => {
    const { calls } = await bob(false);
    expect(calls.create(["alice"], "audio", undefined).state.signalling).toBe("down");
  });

  test("is not judged by a state that was asked for before it was made", async () => {
    const { calls, call, later } = await calling();
    calls.reconcile(undefined, later - 10);
    expect(call.state.phase).toBe("calling");
  });

  test("goes on if the state knows it, also after the create has waited in vain for its answer", async () => {
    const { calls, call, types, later } = await calling();
    calls.reconcile(standing(call.meeting), later);
    await vi.advanceTimersByTimeAsync(31_000);
    expect([call.state.phase, call.state.admitted]).toEqual(["calling", true]);
    expect(types()).toEqual(["create", "mute", "mute"]);
  });

  test("goes on as the call that it met, and nothing is taken back", async () => {
    const { calls, call, types, began, later } = await calling();
    calls.reconcile(standing("m9"), later);
    await vi.advanceTimersByTimeAsync(31_000);
    expect([call.meeting, call.state.admitted, began.length]).toEqual(["m9", true, 1]);
    expect(types()).not.toContain("cancel");
  });
});

describe("a call that was left here", () => {
  beforeEach(() => void vi.useFakeTimers({ now: T0 }));
  afterEach(() => void vi.useRealTimers());

  test("is not brought back by a state answer, and the service is told again if it should know", async () => {
    const { calls, began, leaving } = await bob();
    const here: StandingCall = { meeting: "m1", media: "audio", here: true, roster: roster(4, member("bob", "in")) };
    calls.reconcile(here, performance.now());
    await vi.advanceTimersByTimeAsync(10);
    await began[0]?.leave();
    calls.reconcile(here, performance.now());
    expect([began.length, leaving()]).toEqual([1, ["leave"]]);
    await vi.advanceTimersByTimeAsync(10);
    calls.reconcile(here, performance.now());
    await vi.advanceTimersByTimeAsync(0);
    expect([began.length, leaving()]).toEqual([1, ["leave", "leave"]]);
  });

  test("or goes on elsewhere is told apart from one that broke", async () => {
    const { calls, began } = await bob();
    const here: StandingCall = { meeting: "m1", media: "audio", here: true, roster: roster(4, member("bob", "in")) };
    calls.reconcile(here, performance.now());
    calls.reconcile({ ...here, here: false }, performance.now() + 5);
    expect(began[0]?.state.end?.reason).toBe("answered_elsewhere");
  });
});

describe("a device that went away in a call", () => {
  afterEach(() => void vi.unstubAllGlobals());

  test("is told as a problem, and opened anew when it is turned on again", async () => {
    let opened = 0;
    const track = () => ({ kind: "audio", enabled: true, stop() {}, onended: undefined as (() => void) | undefined });
    const tracks: ReturnType<typeof track>[] = [];
    vi.stubGlobal("navigator", {
      mediaDevices: {
        getUserMedia: async () => {
          opened += 1;
          tracks.push(track());
          return { getAudioTracks: () => [tracks.at(-1)], getVideoTracks: () => [] };
        },
      },
    });
    const { calls } = await bob();
    const call = calls.create(["alice"], "audio", undefined);
    const problems: string[] = [];
    call.on("problem", ({ error }) => problems.push(error.code));
    await vi.waitFor(() => expect(call.own("microphone")).toBeDefined());
    tracks[0]?.onended?.();
    expect([call.state.muted.audio, call.own("microphone"), problems]).toEqual([true, undefined, ["device_failed"]]);
    await call.unmute();
    expect([opened, call.own("microphone"), call.state.muted.audio]).toEqual([2, tracks[1], false]);
  });
});
