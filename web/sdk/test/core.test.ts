import { describe, expect, test } from "vitest";
import { Backoff, SIGNALLING_STEPS } from "../src/core/backoff.ts";
import { ServiceClock } from "../src/core/clock.ts";
import { Emitter } from "../src/core/emitter.ts";
import { deviceError, refusal } from "../src/core/errors.ts";
import { uuidv7 } from "../src/core/ids.ts";
import { timerOver } from "../src/core/timer.ts";
import { accountKey, login } from "../src/login/requests.ts";

describe("ids", () => {
  test("carry time, version and variant where RFC 9562 puts them", () => {
    const id = uuidv7(0x017f22e279b0, () => new Uint8Array(16).fill(0xff));
    expect(id).toBe("017f22e2-79b0-7fff-bfff-ffffffffffff");
  });

  test("sort by the moment they were made in", () => {
    expect(uuidv7(1_000) < uuidv7(2_000)).toBe(true);
  });
});

describe("back-off", () => {
  test("grows to its last step and stays there", () => {
    const backoff = new Backoff(SIGNALLING_STEPS, () => 0.5);
    const waits = Array.from({ length: 9 }, () => backoff.nextMs());
    expect(waits).toEqual([1_000, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000, 15_000]);
  });

  test("spreads each wait by its jitter, never beyond", () => {
    const low = new Backoff(SIGNALLING_STEPS, () => 0);
    const high = new Backoff(SIGNALLING_STEPS, () => 1);
    expect([low.nextMs(), high.nextMs()]).toEqual([200, 1_800]);
  });

  test("begins anew after a success", () => {
    const backoff = new Backoff(SIGNALLING_STEPS, () => 0.5);
    backoff.nextMs();
    backoff.nextMs();
    backoff.reset();
    expect(backoff.nextMs()).toBe(1_000);
  });
});

describe("the service's clock", () => {
  /** A device whose wall clock reads 5,000 when its monotonic clock reads 0. */
  function device() {
    const local = { wall: 5_000, monotonic: 0 };
    const clock = new ServiceClock({ wallMs: () => local.wall, monotonicMs: () => local.monotonic });
    const pass = (ms: number) => {
      local.wall += ms;
      local.monotonic += ms;
    };
    const answered = (serviceNowMs: number, tookMs: number) => {
      const asked = clock.ask();
      pass(tookMs);
      clock.learn(serviceNowMs, asked);
    };
    return { clock, local, pass, answered };
  }

  test("is this device's until the service has told its own", () => {
    const { clock } = device();
    expect([clock.isKnown, clock.nowMs()]).toEqual([false, 5_000]);
  });

  test("is learnt from the middle of an answer's way", () => {
    const { clock, answered } = device();
    answered(65_000, 100);
    expect([clock.isKnown, clock.nowMs()]).toEqual([true, 65_050]);
  });

  test("is learnt best from the shortest round trip, until that is ten minutes old", () => {
    const { clock, answered, pass } = device();
    answered(65_000, 100);
    answered(99_000, 200);
    expect(clock.nowMs()).toBe(65_250);
    answered(70_000, 50);
    expect(clock.nowMs()).toBe(70_025);
    pass(600_001);
    answered(700_000, 200);
    expect(clock.nowMs()).toBe(700_100);
  });

  test("is guessed, not known, from an answer that took more than two seconds", () => {
    const { clock, answered } = device();
    answered(65_000, 2_100);
    expect([clock.isKnown, clock.nowMs()]).toEqual([false, 66_050]);
  });

  test("what an earlier page has learnt is a guess, and does not replace better knowledge", () => {
    const { clock, answered } = device();
    clock.restore(7);
    expect([clock.isKnown, clock.nowMs()]).toEqual([false, 5_007]);
    answered(65_000, 0);
    clock.restore(9);
    expect(clock.offsetMs).toBe(60_000);
  });

  test.each([30_000, -30_000, 120_000, -120_000, 3_600_000, -3_600_000, 86_400_000, -86_400_000])(
    "a wall clock that is set by %i ms makes it a guess that is not late, until the next answer",
    (stepMs) => {
      const { clock, local, answered } = device();
      answered(65_000, 0);
      const asked = clock.ask();
      local.wall += stepMs;
      expect([clock.hasJumpedSince(asked), clock.isKnown]).toEqual([true, false]);
      expect(clock.nowMs()).toBe(65_000 + Math.max(0, stepMs));
      clock.learn(65_000, asked);
      expect(clock.isKnown, "an answer over the jump says nothing").toBe(false);
      answered(66_000, 0);
      expect([clock.isKnown, clock.nowMs()]).toEqual([true, 66_000]);
    },
  );

  test("sleep, in which the monotonic clock stood, makes it a guess that is not late", () => {
    const { clock, local, answered } = device();
    answered(65_000, 0);
    local.wall += 600_000;
    expect([clock.isKnown, clock.nowMs()]).toEqual([false, 665_000]);
  });

  test("goes on by the monotonic clock where the wall clock is only slewed", () => {
    const { clock, local, answered, pass } = device();
    answered(65_000, 0);
    for (let i = 0; i < 10; i++) {
      pass(1_000);
      local.wall += 500;
      clock.nowMs();
    }
    expect([clock.isKnown, clock.nowMs()]).toEqual([true, 75_000]);
  });
});

describe("errors", () => {
  test("name code, category, and the keys of words and remedy", () => {
    const { code, category, text, remedy } = refusal("not_host", "only the host may");
    expect([code, category, text, remedy]).toEqual([
      "refused_not_host",
      "refused",
      "error.refused_not_host",
      "remedy.refused_not_host",
    ]);
  });

  test.each([
    ["NotAllowedError", "device_denied"],
    ["NotFoundError", "device_missing"],
    ["NotReadableError", "device_in_use"],
    ["SomethingElse", "device_failed"],
  ])("a device that fails with %s is told as %s", (name, code) => {
    expect(deviceError(Object.assign(new Error(), { name })).code).toBe(code);
  });
});

describe("login", () => {
  const answer =
    (status: number, body: unknown = {}) =>
    async () =>
      new Response(JSON.stringify(body), { status });

  test("hands the credential over", async () => {
    const credentials = await login(
      "http://h",
      "s",
      "web-1-0",
      answer(200, { client_id: "GID_dev@@@web-1-0", password: "p" }),
    );
    expect(credentials.clientId).toBe("GID_dev@@@web-1-0");
  });

  test.each([
    [401, "login_refused"],
    [400, "invalid_device"],
    [400, "unknown_group"],
  ])("status %d with %s means that the link is invalid", async (status, code) => {
    const refused = login("http://h", "s", "d", answer(status, { code }));
    await expect(refused).rejects.toMatchObject({ code: "link_invalid" });
  });

  test.each([[200], [401], [403], [404], [407]])(
    "status %d without the server's word means to try again",
    async (status) => {
      for (const body of [{}, [], "<html>"])
        await expect(login("http://h", "s", "d", answer(status, body))).rejects.toMatchObject({
          code: "server_unreachable",
        });
    },
  );

  test.each([
    [429, "too_many_failures"],
    [500, "internal"],
    [503, "unavailable"],
  ])("status %d means to try again", async (status, code) => {
    const asked = login("http://h", "s", "d", answer(status, { code }));
    await expect(asked).rejects.toMatchObject({ code: "server_unreachable" });
  });

  test("a user may have too many devices", async () => {
    await expect(login("http://h", "s", "d", answer(409, { code: "too_many_devices" }))).rejects.toMatchObject({
      code: "too_many_devices",
    });
  });

  test("two secrets name two accounts", () => {
    expect(accountKey("alice-secret")).not.toBe(accountKey("bob-secret"));
  });
});

test("a worker's ticks reach the timer that they belong to until it is cleared", () => {
  const orders: unknown[] = [];
  const worker = { postMessage: (order: unknown) => void orders.push(order), onmessage: null as Worker["onmessage"] };
  const timer = timerOver(worker);
  const ticks: string[] = [];
  const first = timer.set(() => ticks.push("first"), 10);
  const second = timer.set(() => ticks.push("second"), 20);
  const tick = (id: number) => worker.onmessage?.call({} as Worker, { data: id } as MessageEvent);
  tick(second);
  tick(first);
  timer.clear(first);
  tick(first);
  expect(ticks).toEqual(["second", "first"]);
  expect(orders).toEqual([
    { type: "set", id: 1, everyMs: 10 },
    { type: "set", id: 2, everyMs: 20 },
    { type: "clear", id: 1 },
  ]);
});

test("a listener is not called after it has been taken off", () => {
  class Bell extends Emitter<{ ring: number }> {
    ring(n: number) {
      this.emit("ring", n);
    }
  }
  const bell = new Bell();
  const heard: number[] = [];
  const off = bell.on("ring", (n) => heard.push(n));
  bell.ring(1);
  off();
  bell.ring(2);
  expect(heard).toEqual([1]);
});
