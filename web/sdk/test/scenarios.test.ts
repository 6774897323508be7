/** Plays every step script of `tests/terminal-scenarios` (its README has the words) against the client. */

import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { SessionContext } from "../src/media/session.ts";
import type { RingEntry } from "../src/ring/rules.ts";
import { Player } from "./scenarios/player.ts";
import { variants } from "./scenarios/script.ts";

const FOLDER = new URL("../../../tests/terminal-scenarios/", import.meta.url);

/** A path that stands as soon as it is wanted: the scripts are not about media. */
vi.mock("../src/media/session.ts", () => ({
  MediaSession: class {
    readonly #context: SessionContext;
    constructor(context: SessionContext) {
      this.#context = context;
    }
    start() {
      this.#context.path("up");
    }
    warm() {}
    async setTrack() {}
    signalling() {}
    suspend() {}
    retryNow() {}
    stop() {}
  },
}));

vi.mock("../src/media/capture.ts", () => {
  const track = () => ({ enabled: true, stop() {}, onended: null });
  const capture = async (want: string[]) => ({
    problems: [],
    ...Object.fromEntries(want.map((name) => [name, track()])),
  });
  return { capture };
});

/** The browser's disk outlives its pages. */
vi.mock("../src/ring/store.ts", () => {
  const disks = new Map<string, { rings: Map<string, RingEntry>; offsetMs?: number }>();
  return {
    openRingStore: async (clientId: string) => {
      const disk = disks.get(clientId) ?? { rings: new Map<string, RingEntry>(), offsetMs: undefined };
      disks.set(clientId, disk);
      return {
        all: async () => [...disk.rings.values()],
        put: async (entry: RingEntry) => void disk.rings.set(entry.invitation, structuredClone(entry)),
        remove: async (gone: string[]) => gone.forEach((invitation) => void disk.rings.delete(invitation)),
        offset: async () => disk.offsetMs,
        putOffset: async (offsetMs: number) => {
          disk.offsetMs = offsetMs;
        },
        close: () => {},
      };
    },
  };
});

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"],
  });
  vi.stubGlobal("navigator", {});
  const storage = () => {
    const kept = new Map<string, string>();
    return {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => kept.set(key, value),
    };
  };
  vi.stubGlobal("sessionStorage", storage());
  vi.stubGlobal("localStorage", storage());
});

afterEach(() => {
  vi.clearAllTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const scripts = readdirSync(FOLDER).filter((name) => name !== "README.md");

describe.each(scripts)("%s", (name) => {
  const played = variants(readFileSync(new URL(name, FOLDER), "utf8"));
  test.each(played)("$scenario.why $values", { timeout: 60_000 }, ({ scenario }) => new Player(scenario).play());
  if (played.length === 0) test("is for the other SDK", () => {});
});

describe("a script that does not hold fails", () => {
  const begin = [
    { stands: {} },
    { do: "connect" },
    { signal: "invitation", invitation: "i1", meeting: "m1", from: "a" },
  ];
  test.each([
    [{ wait: 1 }, "ring"],
    [{ shows: "ring", invitation: "i2" }, "i2"],
    [{ sends: "accept" }, "accept"],
    [{ acknowledged: 5 }, "acknowledged"],
    [{ dances: "well" }, "dances"],
  ])("%j", async (step, named) => {
    const text = JSON.stringify({ why: "", steps: [...begin, step] });
    const [only] = variants(text);
    if (!only) throw new Error("no variant");
    await expect(new Player(only.scenario).play()).rejects.toThrow(named);
  });
});
