import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { capture, type MediaDevicesLike } from "../src/media/capture.ts";
import { signsIn } from "../src/media/connection.ts";
import { candidateAddresses, diagnose } from "../src/media/diagnose.ts";
import { joinAt } from "../src/media/join.ts";
import { DEAD_MS, DEAD_WHEN_PROBED_MS, LOOK_EVERY_MS, PathMonitor, STILL_MS } from "../src/media/path-monitor.ts";
import { isForwarded, offeredLines, startSharp } from "../src/media/profile.ts";
import { decodeSlotMap, SlotTable } from "../src/media/slots.ts";
import { join } from "./fixtures.ts";

describe("slots", () => {
  const camera = (mid: string) => ({ mid, participation: "p1", source: "camera" }) as const;

  test("a map with a lower epoch is ignored", () => {
    const table = new SlotTable();
    table.apply({ epoch: 2, slots: [camera("4")] });
    expect(table.apply({ epoch: 1, slots: [camera("5")] })).toBe(false);
    expect(table.midOf("p1", "camera")).toBe("4");
  });

  test("a slot that is not named is empty", () => {
    const table = new SlotTable();
    table.apply({ epoch: 0, slots: [camera("4")] });
    table.apply({ epoch: 1, slots: [] });
    expect(table.midOf("p1", "camera")).toBeUndefined();
  });

  test.each([["{"], ["null"], ['{"epoch":1}'], [new ArrayBuffer(1)]])("%s is no slot map", (text) => {
    expect(decodeSlotMap(text)).toBeUndefined();
  });
});

describe("the offer", () => {
  test("of profile meeting sends three and receives nine pictures and three voices", () => {
    const lines = offeredLines("meeting");
    const count = (purpose: string) => lines.filter((line) => line.purpose === purpose).length;
    expect(lines.slice(0, 3).map((line) => line.purpose)).toEqual(["microphone", "camera", "screen"]);
    expect([count("video_slot"), count("audio_slot")]).toEqual([9, 3]);
  });

  test("names only codecs that are forwarded", () => {
    const offered = ["audio/opus", "video/VP8", "video/rtx", "video/AV1", "audio/PCMU"];
    expect(offered.filter((mimeType) => isForwarded({ mimeType }))).toEqual(["audio/opus", "video/VP8", "video/rtx"]);
  });
});

describe("the answer", () => {
  test("begins each VP8 picture sharp and leaves all else as it is", () => {
    const sdp = "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
    const hinted = startSharp(sdp);
    expect(hinted).toContain("a=rtpmap:96 VP8/90000\r\na=fmtp:96 x-google-start-bitrate=1000\r\n");
    expect(hinted.replace("a=fmtp:96 x-google-start-bitrate=1000\r\n", "")).toBe(sdp);
  });
});

describe("the join endpoint", () => {
  const request = { sdp: "v=0", profile: "meeting", purposes: {} } as const;
  const parameters = { ...join(), endpoints: ["http://one/", "http://two"] };

  test("is the first end point that answers", async () => {
    const asked: string[] = [];
    const fetcher = async (url: RequestInfo | URL) => {
      asked.push(String(url));
      if (asked.length === 1) throw new TypeError("refused");
      return Response.json({ sdp: "answer", slots: { epoch: 0, slots: [] } });
    };
    expect((await joinAt(parameters, request, fetcher as typeof fetch)).sdp).toBe("answer");
    expect(asked).toEqual(["http://one/rtc/v1/join", "http://two/rtc/v1/join"]);
  });

  test("that says no is not asked elsewhere", async () => {
    const fetcher = async () => new Response("", { status: 401 });
    await expect(joinAt(parameters, request, fetcher)).rejects.toMatchObject({ code: "media_refused" });
  });

  test("that is full is told from one that cannot be reached", async () => {
    const fetcher = async (url: RequestInfo | URL) => {
      if (String(url).startsWith("http://two")) throw new TypeError("refused");
      return new Response("", { status: 503 });
    };
    await expect(joinAt(parameters, request, fetcher as typeof fetch)).rejects.toMatchObject({ code: "media_busy" });
  });

  test("that nobody opens is a media path that cannot be reached", async () => {
    const fetcher = async () => {
      throw new TypeError("refused");
    };
    await expect(joinAt(parameters, request, fetcher)).rejects.toMatchObject({ code: "media_unreachable" });
  });
});

describe("a media path that does not come about", () => {
  const loopback = "v=0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 7700 typ host\r\n";
  const both = `${loopback}a=candidate:2 1 udp 2130706430 192.0.2.7 7700 typ host\r\n`;

  test.each([
    ["Mozilla/5.0 Firefox/153.0", loopback, "media_loopback_firefox"],
    ["Mozilla/5.0 Firefox/153.0", both, "media_unreachable"],
    ["Mozilla/5.0 Chrome/156.0", loopback, "media_unreachable"],
  ])("in %s is diagnosed", (userAgent, answerSdp, code) => {
    expect(diagnose({ userAgent, answerSdp }).code).toBe(code);
  });

  test("is told with the addresses that were tried", () => {
    expect(candidateAddresses(both)).toEqual(["127.0.0.1", "192.0.2.7"]);
  });
});

describe("capture", () => {
  const track = (kind: string) => ({ kind }) as MediaStreamTrack;
  const stream = (audio: boolean, video: boolean) =>
    ({
      getAudioTracks: () => (audio ? [track("audio")] : []),
      getVideoTracks: () => (video ? [track("video")] : []),
    }) as MediaStream;
  const without = (missing: "audio" | "video", name: string): MediaDevicesLike => ({
    getUserMedia: async (wanted = {}) => {
      if (wanted[missing]) throw Object.assign(new Error(), { name });
      return stream(Boolean(wanted.audio), Boolean(wanted.video));
    },
  });

  test("a missing camera leaves the microphone", async () => {
    const captured = await capture(["microphone", "camera"], without("video", "NotFoundError"));
    expect(captured.microphone?.kind).toBe("audio");
    expect(captured.problems).toMatchObject([{ device: "camera", error: { code: "device_missing" } }]);
  });

  test("a denied microphone leaves the camera", async () => {
    const captured = await capture(["microphone", "camera"], without("audio", "NotAllowedError"));
    expect([captured.microphone, captured.camera?.kind]).toEqual([undefined, "video"]);
    expect(captured.problems).toMatchObject([{ device: "microphone", error: { code: "device_denied" } }]);
  });

  test("a page without devices says why, and does not throw", async () => {
    const captured = await capture(["microphone", "camera"], undefined);
    expect(captured.problems.map(({ error }) => error.code)).toEqual(["page_insecure", "page_insecure"]);
  });
});

describe("the monitor of a media path", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function path(isQuiet = false) {
    const seen: string[] = [];
    const wire = { bytes: 0, alive: true };
    const monitor = new PathMonitor({
      signs: async () => {
        if (wire.alive) wire.bytes += 100;
        return wire.bytes;
      },
      isQuiet: () => isQuiet,
      receiving: (isReceiving) => seen.push(isReceiving ? "receiving" : "still"),
      dead: () => seen.push("dead"),
    });
    const passes = (ms: number) => vi.advanceTimersByTimeAsync(ms);
    return { monitor, wire, seen, passes };
  }

  test("says that it receives, that it does not once nothing has come in for a second, and that it does at the next sign", async () => {
    const { monitor, wire, seen, passes } = path();
    monitor.start();
    await passes(LOOK_EVERY_MS);
    wire.alive = false;
    await passes(STILL_MS - 1);
    expect(new Set(seen.splice(0))).toEqual(new Set(["receiving"]));
    await passes(LOOK_EVERY_MS);
    expect(seen.splice(0)).toEqual(["still"]);
    wire.alive = true;
    await passes(LOOK_EVERY_MS);
    expect(seen).toEqual(["receiving"]);
  });

  test("is dead after some seconds, and sooner when signalling was lost too", async () => {
    const { monitor, wire, seen, passes } = path();
    monitor.start();
    await passes(LOOK_EVERY_MS);
    wire.alive = false;
    await passes(DEAD_MS - LOOK_EVERY_MS);
    expect(seen).not.toContain("dead");
    await passes(2 * LOOK_EVERY_MS);
    expect(seen).toContain("dead");
    wire.alive = true;
    await passes(LOOK_EVERY_MS);
    wire.alive = false;
    seen.length = 0;
    monitor.probe();
    await passes(DEAD_WHEN_PROBED_MS + LOOK_EVERY_MS);
    expect(seen).toContain("dead");
  });

  test("that was still for long before it was probed is dead at the next look", async () => {
    const { monitor, wire, seen, passes } = path();
    monitor.start();
    await passes(LOOK_EVERY_MS);
    wire.alive = false;
    await passes(DEAD_WHEN_PROBED_MS + LOOK_EVERY_MS);
    expect(seen).not.toContain("dead");
    monitor.probe();
    await passes(0);
    expect(seen).toContain("dead");
  });

  test("is neither still nor dead between the browser's checks, where nobody sends", async () => {
    const { monitor, wire, seen, passes } = path(true);
    monitor.start();
    for (let check = 0; check < 5; check++) {
      wire.alive = true;
      await passes(LOOK_EVERY_MS);
      wire.alive = false;
      await passes(6_000 - LOOK_EVERY_MS);
    }
    expect(new Set(seen)).toEqual(new Set(["receiving"]));
    await passes(6_000);
    expect(seen).toContain("dead");
  });
});

describe("what comes in on a path", () => {
  test.each([
    ["of a browser that counts for the transport", { type: "transport", bytesReceived: 10 }, 10],
    ["of Firefox before 154, which counts for pairs alone", { type: "candidate-pair", bytesReceived: 10 }, 10],
    ["but answers to checks", { type: "candidate-pair", responsesReceived: 3 }, 0],
    ["but what is heard of a stream", { type: "inbound-rtp", bytesReceived: 10 }, 0],
  ])("is told by statistics %s", (_, report, signs) => {
    expect(signsIn([{ type: "transport" }, report], true)).toBe(signs);
  });

  test("is answers to checks besides, for who sends nothing", () => {
    expect(signsIn([{ type: "candidate-pair", responsesReceived: 3, bytesReceived: 10 }], false)).toBe(13);
  });
});
