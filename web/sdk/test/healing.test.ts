/** What has broken comes back: the way to the service, and the media path. */

import type { IClientOptions, MqttClient } from "mqtt";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { PathState } from "../src/call/state.ts";
import { Backoff, SIGNALLING_STEPS, URGENT_EVERY_MS } from "../src/core/backoff.ts";
import { ConvokeError } from "../src/core/errors.ts";
import type { Credentials } from "../src/login/requests.ts";
import type { ConnectionEvents } from "../src/media/connection.ts";
import { DEAD_MS, LOOK_EVERY_MS } from "../src/media/path-monitor.ts";
import { MediaSession } from "../src/media/session.ts";
import { SignallingConnection, type SignallingState } from "../src/signalling/connection.ts";
import { firstWaitMs, nextWaitMs, Probe, probed } from "../src/signalling/probe.ts";
import { join } from "./fixtures.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});
const passes = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe("a probe", () => {
  function probe(random = Math.random, answers: () => Promise<unknown> = () => Promise.reject(new TypeError())) {
    const askedMs: number[] = [];
    const answered: number[] = [];
    const beganMs = performance.now();
    const nowMs = () => performance.now() - beganMs;
    const made = new Probe({
      answered: () => answered.push(nowMs()),
      fetch: (url) => {
        askedMs.push(nowMs());
        expect(url).toBe("http://there/mqtt");
        return answers();
      },
      random,
    });
    made.start("ws://there/mqtt");
    return { made, askedMs, answered };
  }

  test.each([0, 0.25, 0.999])(
    "asks within every 2 s, whatever chance says (%d), though nothing answers",
    async (chance) => {
      const { askedMs } = probe(
        () => chance,
        () => new Promise(() => {}),
      );
      await passes(60_000);
      const gaps = askedMs.map((atMs, i) => atMs - (askedMs[i - 1] ?? 0));
      expect(Math.max(...gaps)).toBeLessThanOrEqual(URGENT_EVERY_MS);
      expect(Math.min(...gaps.slice(1))).toBeGreaterThanOrEqual(URGENT_EVERY_MS / 2);
    },
  );

  test("tells each answer, and nothing once it was stopped", async () => {
    const { made, answered } = probe(
      () => 0.5,
      async () => new Response(),
    );
    await passes(1_000);
    expect(answered).toEqual([1_000]);
    made.stop();
    await passes(10_000);
    expect(answered).toHaveLength(1);
  });

  test("asks where the WebSocket is, and nothing but a WebSocket", () => {
    expect(probed("wss://there:8443/mqtt")).toBe("https://there:8443/mqtt");
    expect(probed("mqtt://there:1883")).toBeUndefined();
  });
});

describe("ten thousand pages that one server has lost", () => {
  const PAGES = 10_000;
  const SLICE_MS = 100;

  /** How many come in the fullest slice, as a multiple of what each would have if all were equal. */
  function crowding(timesMs: readonly number[], withinMs: number): number {
    const slices = new Array<number>(Math.ceil(withinMs / SLICE_MS)).fill(0);
    for (const atMs of timesMs) slices[Math.floor(atMs / SLICE_MS)] = (slices[Math.floor(atMs / SLICE_MS)] ?? 0) + 1;
    return Math.max(...slices) / (timesMs.length / slices.length);
  }

  test("look for it spread over two seconds, if they are in calls, and go on so", () => {
    const OVER_MS = 20_000;
    const askedMs: number[] = [];
    for (let page = 0; page < PAGES; page++) {
      for (let atMs = firstWaitMs(); atMs < OVER_MS; atMs += nextWaitMs()) askedMs.push(atMs);
    }
    const firstMs = askedMs.filter((atMs) => atMs < URGENT_EVERY_MS / 2);
    expect(crowding(firstMs, URGENT_EVERY_MS / 2)).toBeLessThan(1.3);
    expect(crowding(askedMs, OVER_MS)).toBeLessThan(2);
  });

  test("come back spread over all of each wait, if they are idle", () => {
    const waitsMs = Array.from({ length: PAGES }, () => new Backoff(SIGNALLING_STEPS).nextMs());
    expect(crowding(waitsMs, Math.max(...waitsMs) + 1)).toBeLessThan(1.6);
  });
});

describe("a signalling connection", () => {
  const credentials = { endpoints: { mqttWs: "ws://there/mqtt" } } as Credentials;

  /** MQTT.js and the network below it: every attempt hangs until the test says otherwise. */
  function signalling() {
    const attempts: { say(event: string, value?: unknown): void; ended: boolean }[] = [];
    const net = { answers: false, pings: 0 };
    const mqtt = (_url: string, _options: IClientOptions): MqttClient => {
      const heard = new Map<string, (value?: unknown) => void>();
      const attempt = { say: (event: string, value?: unknown) => heard.get(event)?.(value), ended: false };
      attempts.push(attempt);
      return {
        on: (event: string, run: (value?: unknown) => void) => heard.set(event, run),
        end: () => {
          attempt.ended = true;
        },
        connected: true,
        sendPing: () => {
          net.pings += 1;
          if (net.answers) attempt.say("packetreceive");
        },
      } as unknown as MqttClient;
    };
    vi.stubGlobal("fetch", () => (net.answers ? Promise.resolve(new Response()) : new Promise(() => {})));
    const states: SignallingState["type"][] = [];
    const made = new SignallingConnection({
      credentials: async () => credentials,
      mqtt: async () => mqtt,
      receive: async () => () => {},
      changed: ({ type }) => states.push(type),
    });
    made.start();
    return { made, attempts, net, states };
  }

  async function up() {
    const all = signalling();
    await passes(0);
    all.attempts[0]?.say("connect");
    return all;
  }

  test("of a call replaces an attempt that hangs, within two seconds after the server answers", async () => {
    const { made, attempts, net } = await up();
    made.urgent(true);
    attempts[0]?.say("close");
    await passes(20_000);
    const before = attempts.length;
    net.answers = true;
    await passes(URGENT_EVERY_MS);
    expect(attempts.length).toBe(before + 1);
    expect(attempts.slice(0, -1).every(({ ended }) => ended)).toBe(true);
    made.stop();
  });

  test("gives an attempt twice the time of the one that it replaced, so that a slow way is a way", async () => {
    const { made, attempts, net } = await up();
    made.urgent(true);
    attempts[0]?.say("close");
    net.answers = true;
    const beganMs: number[] = [];
    for (let ms = 0; ms < 30_000; ms += 100) {
      if (beganMs.length < attempts.length) beganMs.push(ms);
      await passes(100);
    }
    const [, second = 0, third = 0, fourth = 0, fifth = 0] = beganMs;
    expect(third - second).toBeGreaterThanOrEqual(1_500);
    expect(fourth - third).toBeGreaterThanOrEqual(3_000);
    expect(fifth - fourth).toBeGreaterThanOrEqual(6_000);
    made.stop();
  });

  test("of an idle page leaves a server alone that is away", async () => {
    const { made, attempts } = await up();
    const fetched = vi.fn(() => new Promise(() => {}));
    vi.stubGlobal("fetch", fetched);
    attempts[0]?.say("close");
    await passes(60_000);
    expect(fetched).not.toHaveBeenCalled();
    made.stop();
  });

  test("that nothing comes in on is down within four seconds in a call, and at once when it is asked for", async () => {
    const { made, states, net } = await up();
    net.answers = true;
    made.urgent(true);
    await passes(20_000);
    expect(states).toEqual(["connecting", "up"]);
    net.answers = false;
    await passes(4_000);
    expect(states).toContain("waiting");
    made.stop();
    const other = await up();
    other.made.check(700);
    await passes(700);
    expect(other.states).toContain("waiting");
    other.made.stop();
  });
});

interface FakeConnection {
  join: ReturnType<typeof join>;
  events: ConnectionEvents;
  path: RTCPeerConnectionState;
  closed: boolean;
  comes(): void;
}

const media = vi.hoisted(() => ({ made: [] as unknown[], bytes: 0, flows: true, joinError: undefined as unknown }));

/** Connections whose ways are what the test says. */
vi.mock("../src/media/connection.ts", () => ({
  MediaConnection: class {
    path = "new";
    closed = false;
    answerSdp = "";
    slots = { midOf: () => undefined };
    constructor(
      readonly join: unknown,
      readonly events: ConnectionEvents,
    ) {
      media.made.push(this);
    }
    async open() {
      if (media.joinError) throw media.joinError;
    }
    async setTrack() {}
    async signsOfLife() {
      if (media.flows) media.bytes += 100;
      return media.bytes;
    }
    receives() {
      return media.flows;
    }
    audioTracks() {
      return [];
    }
    close() {
      this.closed = true;
      this.path = "closed";
    }
    comes() {
      this.path = "connected";
      this.events.path("connected");
    }
  },
}));

describe("the media of a call", () => {
  function session() {
    media.made.length = 0;
    media.flows = true;
    media.joinError = undefined;
    vi.stubGlobal("navigator", { userAgent: "Chrome" });
    const paths: [PathState, string | undefined][] = [];
    const asked = { count: 0, receiving: [] as boolean[] };
    const made = new MediaSession({
      parameters: async () => {
        asked.count += 1;
        return { ...join(), token: "asked" };
      },
      path: (path, error) => paths.push([path, error?.code]),
      changed: () => {},
      receiving: (isReceiving) => asked.receiving.push(isReceiving),
    });
    const connections = media.made as FakeConnection[];
    const states = () => paths.map(([path]) => path);
    return { made, paths, states, connections, asked };
  }

  async function inCall() {
    const all = session();
    await all.made.setTrack("microphone", {} as MediaStreamTrack);
    all.made.start(join());
    await passes(0);
    all.connections[0]?.comes();
    // Longer than a path that is lost at once stands.
    await passes(10 * LOOK_EVERY_MS);
    return all;
  }

  test("is made anew as soon as signalling is back, with the parameters that came with it", async () => {
    const { made, connections, asked } = await inCall();
    media.flows = false;
    made.signalling("down");
    await passes(1_000);
    made.signalling("up");
    made.start({ ...join(), token: "fresh" });
    await passes(LOOK_EVERY_MS);
    expect(connections.map((each) => each.join.token)).toEqual([join().token, "fresh"]);
    expect(asked.count).toBe(0);
  });

  test("is left alone when only signalling was away", async () => {
    const { made, connections, states } = await inCall();
    made.signalling("down");
    await passes(5_000);
    made.signalling("up");
    made.start({ ...join(), token: "fresh" });
    await passes(5_000);
    expect([connections.length, states()]).toEqual([1, ["connecting", "up"]]);
  });

  test("is not asked for while signalling is away, however dead the path is", async () => {
    const { made, connections, asked } = await inCall();
    made.signalling("down");
    media.flows = false;
    await passes(60_000);
    expect([connections.length, asked.count]).toEqual([1, 0]);
    expect(connections[0]?.closed, "its last picture stays").toBe(false);
  });

  test("whose server is silent is doubtful after a second and made anew after three, while signalling stands", async () => {
    const { states, connections, asked } = await inCall();
    media.flows = false;
    await passes(DEAD_MS + 2 * LOOK_EVERY_MS);
    expect(states()).toEqual(["connecting", "up", "doubtful", "lost", "lost"]);
    expect(connections.map((each) => each.join.token)).toEqual([join().token, "asked"]);
    expect(asked.receiving).toContain(false);
  });

  test("goes on where it was if the old path comes back before the new one, and wakes signalling", async () => {
    const { states, connections, asked } = await inCall();
    media.flows = false;
    await passes(DEAD_MS + 2 * LOOK_EVERY_MS);
    asked.receiving.length = 0;
    media.flows = true;
    await passes(LOOK_EVERY_MS);
    expect([states().at(-1), asked.receiving]).toEqual(["up", [true]]);
    await passes(30_000);
    expect([states().at(-1), connections.length]).toEqual(["up", 2]);
  });

  test("an attempt that hung over an outage is replaced when signalling is back", async () => {
    const { made, connections } = session();
    made.start(join());
    await passes(500);
    made.signalling("down");
    await passes(2_000);
    made.signalling("up");
    made.start({ ...join(), token: "fresh" });
    await passes(0);
    expect(connections.map((each) => each.join.token)).toEqual([join().token, "fresh"]);
  });

  test("that does not come about says so within eight seconds, and goes on saying so until it does", async () => {
    const { made, paths, states, connections } = session();
    made.start(join());
    await passes(8_000);
    expect(paths.at(-1)).toEqual(["failed", "media_unreachable"]);
    await passes(60_000);
    expect(states().filter((path) => path !== "failed")).toEqual(["connecting"]);
    expect(connections.length).toBeGreaterThan(4);
    while (connections.at(-1)?.closed) await passes(100);
    connections.at(-1)?.comes();
    expect(states().at(-1)).toBe("up");
  });

  test("is tried at once when the person says so", async () => {
    const { made, connections } = session();
    made.start(join());
    await passes(30_000);
    const before = connections.length;
    made.retry();
    await passes(0);
    expect(connections.length).toBe(before + 1);
    made.stop();
  });

  test("that is refused, as with a token of a clock that was wrong, is made with fresh parameters", async () => {
    const { made, connections, states, asked } = session();
    media.joinError = new ConvokeError("media_refused", "status 401");
    made.start(join());
    await passes(0);
    media.joinError = undefined;
    await passes(2_000);
    expect(connections.map((each) => each.join.token)).toEqual([join().token, "asked"]);
    connections.at(-1)?.comes();
    expect([states().at(-1), asked.count]).toEqual(["up", 1]);
  });

  test("that was refused while it rang is made with the parameters of the admission", async () => {
    const { made, connections, states, asked } = session();
    media.joinError = new ConvokeError("media_refused", "status 401");
    made.warm(join());
    await passes(0);
    media.joinError = undefined;
    made.start({ ...join(), token: "fresh" });
    await passes(0);
    expect(connections.map((each) => each.join.token)).toEqual([join().token, "fresh"]);
    connections.at(-1)?.comes();
    expect([states().at(-1), asked.count]).toEqual(["up", 0]);
  });

  test("says nothing of a server that takes nobody in for a moment after its start", async () => {
    const { made, connections, states } = await inCall();
    media.flows = false;
    made.signalling("down");
    await passes(2_000);
    media.joinError = new ConvokeError("media_busy");
    made.signalling("up");
    made.start({ ...join(), token: "fresh" });
    await passes(200);
    media.joinError = undefined;
    await passes(1_000);
    connections.at(-1)?.comes();
    expect(states()).not.toContain("failed");
    expect(states().at(-1)).toBe("up");
  });

  test("of whom nothing comes is left alone where nothing can come in but the browser's checks", async () => {
    const { made, connections, states } = session();
    made.start(join());
    await passes(0);
    connections[0]?.comes();
    for (let check = 0; check < 5; check++) {
      media.flows = true;
      await passes(LOOK_EVERY_MS);
      media.flows = false;
      await passes(3_000);
      made.retryNow();
      await passes(2_000);
    }
    expect([connections.length, states()]).toEqual([1, ["connecting", "up"]]);
  });

  test("is not made anew without a pause where the server ends each path as soon as it stands", async () => {
    const { connections } = await inCall();
    for (let atMs = 0; atMs < 30_000; atMs += 10) {
      const newest = connections.at(-1);
      if (newest?.path === "new") newest.comes();
      newest?.events.closed();
      await passes(10);
    }
    expect(connections.length).toBeGreaterThan(10);
    expect(connections.length).toBeLessThan(40);
  });

  test("that has stood is made anew at once when the server ends it", async () => {
    const { connections } = await inCall();
    await passes(10_000);
    connections[0]?.events.closed();
    await passes(0);
    expect(connections.length).toBe(2);
  });
});
