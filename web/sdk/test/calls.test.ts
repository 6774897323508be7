import { describe, expect, test } from "vitest";
import type { Call } from "../src/call/call.ts";
import { Calls } from "../src/calls.ts";
import { ServiceClock } from "../src/core/clock.ts";
import { RingBook } from "../src/ring/book.ts";
import { Ringer } from "../src/ring/ringer.ts";
import { memoryStore } from "../src/ring/store.ts";
import { Outbox } from "../src/signalling/outbox.ts";
import { Requests } from "../src/signalling/requests.ts";
import type { Down, State } from "../src/wire.ts";
import { envelope, invitation, ring, state, T0 } from "./fixtures.ts";

/** Bob's device without a browser: rings and calls as the client wires them; nothing is captured or joined. */
async function bob() {
  const clock = new ServiceClock(() => T0);
  clock.learn(T0, T0, T0);
  const rings: Call[] = [];
  const requests = new Requests(new Outbox({ publish: async () => {}, isUp: () => true }), clock);
  const calls: Calls = new Calls({
    requests,
    me: () => "bob",
    now_ms: () => clock.now_ms(),
    declined: async (id) => ringer.declined(id),
    settled: (id) => void ringer.settled(id),
    began: () => {},
    rings: (call) => rings.push(call),
  });
  const ringer: Ringer = new Ringer(await RingBook.open(memoryStore(), clock), clock, {
    ring: (rung) => calls.ring({ ...rung, join: undefined as never }),
    stop: (id, reason) => calls.stopRing(id, reason),
    declineAgain: () => {},
    refresh: async () => true,
  });
  const rung = async () => {
    (await ringer.receive(invitation(), false))();
    const call = rings[0] as Call;
    call.apply({ type: "local_accept" });
    return call;
  };
  const confirm = (answer: Partial<State>) => ringer.confirm(state(answer));
  return { rings, rung, confirm, signal: (down: Down) => calls.signal(down) };
}

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
});
