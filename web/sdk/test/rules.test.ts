import { describe, expect, test } from "vitest";
import {
  KEPT_AFTER_EXPIRY_MS,
  onDeadline,
  onDecided,
  onDeclined,
  onEnded,
  onInvitation,
  onSeen,
  onState,
  type RingEntry,
} from "../src/ring/rules.ts";
import { ended, envelope, invitation, member, outcome, ring, roster, state, T0 } from "./fixtures.ts";

const fresh = { expiresAtMs: T0 + 45_000, dup: false };
const never = () => false;
const onTime = { nowMs: T0 + 10, clockKnown: true };

function entry(more: Partial<RingEntry> = {}): RingEntry {
  return { invitation: "i1", rev: 1, phase: "ring", keepUntilMs: T0, ring: ring(), ...more };
}

describe("an invitation", () => {
  test("rings, and is kept three days past its expiry", () => {
    const verdict = onInvitation(undefined, ring(), fresh, onTime);
    expect(verdict.effect).toEqual({ type: "ring", ring: ring() });
    expect(verdict.store?.keepUntilMs).toBe(T0 + 45_000 + KEPT_AFTER_EXPIRY_MS);
  });

  test("delivered again with the same or a lower revision does nothing", () => {
    expect(onInvitation(entry({ rev: 5 }), ring({ rev: 5 }), fresh, onTime)).toEqual({ effect: { type: "nothing" } });
    expect(onInvitation(entry({ rev: 5 }), ring({ rev: 4 }), fresh, onTime)).toEqual({ effect: { type: "nothing" } });
  });

  test.each(["missed", "done"] as const)("never rings again once it is %s, whatever its revision", (phase) => {
    const { store, effect } = onInvitation(entry({ phase }), ring({ rev: 9 }), fresh, onTime);
    expect([store?.phase, store?.rev, effect.type]).toEqual([phase, 9, "nothing"]);
  });

  test("past its time by this device's reckoning waits for the state answer", () => {
    const { store, effect } = onInvitation(undefined, ring(), fresh, { nowMs: T0 + 45_000, clockKnown: true });
    expect([store?.phase, effect.type]).toEqual(["ring", "hold"]);
  });

  test("with DUP is stored and waits for the state answer", () => {
    const { store, effect } = onInvitation(undefined, ring(), { ...fresh, dup: true }, onTime);
    expect([store?.phase, effect.type]).toEqual(["ring", "hold"]);
  });

  test("waits for the state answer while the service's clock is not known", () => {
    const { effect } = onInvitation(undefined, ring(), fresh, { nowMs: T0, clockKnown: false });
    expect(effect.type).toBe("hold");
  });
});

describe("the end of a ring", () => {
  test("with an outcome is a missed call", () => {
    const { store, effect } = onEnded(entry(), ended(2, { outcome: outcome() }));
    expect([store?.phase, store?.rev, effect.type]).toEqual(["missed", 2, "stop"]);
  });

  test("without an outcome is done", () => {
    const { store } = onEnded(entry(), ended(2, { reason: "answered_elsewhere" }));
    expect(store?.phase).toBe("done");
  });

  test("that comes before its invitation keeps that one from ringing", () => {
    const { store } = onEnded(undefined, ended(2, { outcome: outcome() }));
    expect(onInvitation(store, ring({ rev: 1 }), fresh, onTime).effect.type).toBe("nothing");
  });

  test("of an older revision is ignored", () => {
    expect(onEnded(entry({ rev: 3 }), ended(2))).toEqual({ effect: { type: "nothing" } });
  });

  test("does not make a call missed that was declined here", () => {
    const declined = onDeclined(entry()).store;
    expect(onEnded(declined, ended(2, { outcome: outcome() })).store?.phase).toBe("done");
  });

  test("seen on another device is done", () => {
    const signal = { ...envelope, type: "seen", invitation: "i1", rev: 4 } as const;
    expect(onSeen(entry({ phase: "missed", rev: 3 }), signal).store?.phase).toBe("done");
  });
});

describe("what happens here", () => {
  test("a deadline makes a ring missed, and nothing else", () => {
    expect(onDeadline(entry()).store?.phase).toBe("missed");
    expect(onDeadline(entry({ phase: "done" }))).toEqual({ effect: { type: "nothing" } });
  });

  test("an admission is the end of the ring", () => {
    expect(onDecided(entry()).store?.phase).toBe("done");
  });
});

describe("the state answer", () => {
  test("rings what was held, as the same ring", () => {
    const [verdict] = onState([entry()], state({ rings: [ring({ rev: 2 })] }), never);
    expect([verdict?.effect.type, verdict?.store?.rev]).toEqual(["ring", 2]);
  });

  test("rings what this device has never heard of", () => {
    const [verdict] = onState([], state({ rings: [ring()] }), never);
    expect([verdict?.effect.type, verdict?.store?.phase]).toEqual(["ring", "ring"]);
  });

  test.each(["missed", "done"] as const)("does not ring what is %s here", (phase) => {
    expect(onState([entry({ phase })], state({ rings: [ring()] }), never)).toEqual([{ effect: { type: "nothing" } }]);
  });

  test("says again that a ring was declined if the service has not heard it", () => {
    const declined = onDeclined(entry()).store;
    const [verdict] = onState(declined ? [declined] : [], state({ rings: [ring()] }), never);
    expect(verdict?.effect.type).toBe("decline_again");
  });

  test("ends a ring that it does not know: missed if it lists the outcome, done if not", () => {
    const [missed] = onState([entry()], state({ outcomes: [outcome()] }), never);
    const [done] = onState([entry()], state(), never);
    expect([missed?.store?.phase, done?.store?.phase]).toEqual(["missed", "done"]);
  });

  test("does not end a ring that it may not know", () => {
    expect(onState([entry()], state(), () => true)).toEqual([]);
  });

  test("knows the call that this device is in", () => {
    const call = {
      meeting: "m1",
      media: "video",
      here: true,
      roster: roster(4, member("alice", "in"), member("bob", "in")),
    } as const;
    const [verdict] = onState([entry()], state({ call }), never);
    expect(verdict?.effect).toMatchObject({ type: "stop", reason: { type: "admitted" } });
  });
});

test("in whatever order and however often signals come, a person sees at most one ring", () => {
  const signals = [invitation(), invitation({ rev: 2 }), ended(3, { outcome: outcome() }), invitation()];
  for (const order of permutations([...signals, ended(3, { outcome: outcome() })])) {
    let stored: RingEntry | undefined;
    let ringing = false;
    let rings = 0;
    for (const signal of order) {
      const verdict =
        signal.type === "ended" ? onEnded(stored, signal) : onInvitation(stored, ringOf(signal), fresh, onTime);
      stored = verdict.store ?? stored;
      if (verdict.effect.type === "ring" && !ringing) rings += 1;
      if (verdict.effect.type === "ring") ringing = true;
      if (verdict.effect.type === "stop") ringing = false;
    }
    expect(rings).toBeLessThanOrEqual(1);
    expect([stored?.phase, ringing]).toEqual(["missed", false]);
  }
});

function ringOf(signal: ReturnType<typeof invitation>) {
  return ring({ rev: signal.rev });
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, i) => permutations(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]));
}
