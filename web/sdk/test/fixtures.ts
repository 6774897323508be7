/** Signals as the service sends them, with only what a test is about spelled out. */

import { ServiceClock } from "../src/core/clock.ts";
import type { DownOf, JoinParameters, Member, MemberState, Outcome, Ring, Roster, State } from "../src/wire.ts";

export const T0 = 1_700_000_000_000;

export function join(participation = "p-bob"): JoinParameters {
  const endpoints = ["http://localhost:8080"];
  return { endpoints, app: "convoke", channel: "m1", user: "bob", participation, token: "t", profile: "meeting" };
}

export function member(user: string, state: MemberState, more: Partial<Member> = {}): Member {
  return { user, name: user[0]?.toUpperCase() + user.slice(1), state, muted: {}, blocked: {}, ...more };
}

export function roster(rev: number, ...members: Member[]): Roster {
  return { rev, host: "alice", members };
}

export function ring(more: Partial<Ring> = {}): Ring {
  return {
    invitation: "i1",
    rev: 1,
    meeting: "m1",
    from: "alice",
    fromName: "Alice",
    media: "video",
    ringUntilMs: T0 + 45_000,
    join: join(),
    members: 1,
    names: ["Alice"],
    ...more,
  };
}

export const envelope = { v: 1, id: "s1", meeting: "m1", sentAtMs: T0, expiresAtMs: T0 + 45_000 };

export function invitation(more: Partial<Ring> = {}): DownOf<"invitation"> {
  return { ...envelope, ...ring(more), type: "invitation" };
}

export function ended(rev: number, more: Partial<DownOf<"ended">> = {}): DownOf<"ended"> {
  return { ...envelope, type: "ended", invitation: "i1", rev, reason: "no_answer", ...more };
}

export function outcome(more: Partial<Outcome> = {}): Outcome {
  const atMs = T0 + 45_000;
  return {
    invitation: "i1",
    meeting: "m1",
    rev: 3,
    from: "alice",
    fromName: "Alice",
    media: "video",
    kind: "missed",
    atMs,
    ...more,
  };
}

export function state(more: Partial<State> = {}): DownOf<"state"> {
  return {
    ...envelope,
    meeting: undefined,
    type: "state",
    nowMs: T0 + 1_000,
    user: "bob",
    name: "Bob",
    rings: [],
    outcomes: [],
    ...more,
  };
}

/** The service's clock, known, on a device whose two clocks go as `nowMs` says. */
export function clockAt(nowMs: () => number): ServiceClock {
  const clock = new ServiceClock({ wallMs: nowMs, monotonicMs: nowMs });
  clock.learn(nowMs(), clock.ask());
  return clock;
}
