/**
 * The rules by which signals, answers and time change a ring: pure, over one stored entry per invitation.
 *
 * ```
 *  (none) --invitation--> ring --ended/deadline/state--> missed | done
 *     \----------------------ended--------------------> missed | done     missed --seen--> done
 * ```
 *
 * Nothing leads back to `ring`, so a person sees one ring or one missed call for an invitation, whatever is delivered
 * again and in whatever order.
 */

import type { DownOf, InvitationId, Outcome, Ring, State } from "../wire.ts";

export type RingPhase = "ring" | "missed" | "done";

/** What is stored of one invitation. */
export interface RingEntry {
  invitation: InvitationId;
  rev: number;
  phase: RingPhase;
  /** The entry may be forgotten after this moment, by the service's clock. */
  keepUntilMs: number;
  /** Present in phase `ring`, and in `missed` until the service lists the missed call itself. */
  ring?: Ring;
  /** What the person answered here; the service may not have received it. */
  answer?: "declined" | "seen";
}

/** How long an entry outlives its invitation: as long as the broker may deliver it again. */
export const KEPT_AFTER_EXPIRY_MS = 3 * 24 * 3_600_000;

export type RingEffect =
  | { type: "nothing" }
  /** Rings, unless it rings already. */
  | { type: "ring"; ring: Ring }
  /** Rings only when the state answer confirms it: it may be over, by a clock that may be wrong. */
  | { type: "hold" }
  | { type: "stop"; invitation: InvitationId; reason: RingStop }
  /** The person declined here and the service has not received it. */
  | { type: "decline_again"; ring: Ring };

export type RingStop =
  | { type: "ended"; signal: DownOf<"ended"> }
  | { type: "deadline" }
  | { type: "seen" }
  /** The state answer no longer knows it. */
  | { type: "gone"; missed: boolean }
  /** It is the call that this device is in. */
  | { type: "admitted" }
  | { type: "declined" };

export interface RingVerdict {
  /** To be stored before anything is acknowledged or shown; absent if nothing changes. */
  store?: RingEntry;
  effect: RingEffect;
}

const NOTHING: RingVerdict = { effect: { type: "nothing" } };

export interface Delivery {
  expiresAtMs: number;
  /** Delivered again: it may have been shown by an earlier life of this page, or be over. */
  dup: boolean;
}

export interface Now {
  /** By the service's clock. */
  nowMs: number;
  /** Whether the service's clock is known, not guessed; until then nothing can be called on time. */
  clockKnown: boolean;
}

export function onInvitation(entry: RingEntry | undefined, ring: Ring, delivery: Delivery, now: Now): RingVerdict {
  if (entry && entry.rev >= ring.rev) return NOTHING;
  const next: RingEntry = {
    ...entry,
    ...entryOf(ring, delivery.expiresAtMs),
    phase: entry?.phase ?? "ring",
  };
  if (next.phase !== "ring") return { store: next, effect: { type: "nothing" } };
  const isOnTime = now.clockKnown && now.nowMs < ring.ringUntilMs;
  return { store: next, effect: isOnTime && !delivery.dup ? { type: "ring", ring } : { type: "hold" } };
}

export function onEnded(entry: RingEntry | undefined, signal: DownOf<"ended">): RingVerdict {
  const { invitation } = signal;
  if (!invitation || (entry && entry.rev > signal.rev)) return NOTHING;
  const missed = signal.outcome != null && entry?.phase !== "done";
  const store = ended(entry, invitation, missed ? "missed" : "done", signal.rev, signal.expiresAtMs);
  return { store, effect: { type: "stop", invitation, reason: { type: "ended", signal } } };
}

export function onSeen(entry: RingEntry | undefined, signal: DownOf<"seen">): RingVerdict {
  if (entry && entry.rev > signal.rev) return NOTHING;
  const { invitation } = signal;
  const store = ended(entry, invitation, "done", signal.rev, signal.expiresAtMs);
  return { store, effect: { type: "stop", invitation, reason: { type: "seen" } } };
}

/** The person has seen this missed call here. */
export function onSeenHere(entry: RingEntry | undefined, { invitation, rev }: Outcome, nowMs: number): RingVerdict {
  const lastRev = Math.max(rev, entry?.rev ?? 0);
  const store = ended(entry, invitation, "done", lastRev, nowMs);
  return { store: { ...store, answer: "seen" }, effect: { type: "nothing" } };
}

/** The deadline of a ring has passed and the service could not be asked, or says the same. */
export function onDeadline(entry: RingEntry): RingVerdict {
  if (entry.phase !== "ring") return NOTHING;
  const stop: RingEffect = { type: "stop", invitation: entry.invitation, reason: { type: "deadline" } };
  return { store: { ...entry, phase: "missed" }, effect: stop };
}

export function onDeclined(entry: RingEntry): RingVerdict {
  const stop: RingEffect = { type: "stop", invitation: entry.invitation, reason: { type: "declined" } };
  return { store: { ...entry, phase: "done", answer: "declined" }, effect: stop };
}

/** The service has answered this device's accept: with an admission or a refusal. */
export function onDecided(entry: RingEntry): RingVerdict {
  if (entry.phase === "done") return NOTHING;
  const stop: RingEffect = { type: "stop", invitation: entry.invitation, reason: { type: "admitted" } };
  return { store: { ...entry, phase: "done" }, effect: stop };
}

/**
 * The state answer decides: what stands in it rings, what has an outcome in it is over. What it does not name is over
 * too, if it came here before the question: what is `newer` may be missing.
 */
export function onState(
  entries: Iterable<RingEntry>,
  state: State,
  isNewer: (entry: RingEntry) => boolean,
): RingVerdict[] {
  const known = new Map([...entries].map((entry) => [entry.invitation, entry]));
  const standing = new Set(state.rings.map((ring) => ring.invitation));
  const rings = state.rings.map((ring) => confirmed(known.get(ring.invitation), ring));
  const outcomes = new Map(state.outcomes.map((outcome) => [outcome.invitation, outcome]));
  // An answer that had no room for all says nothing of what it does not name.
  const isOver = (entry: RingEntry) => outcomes.has(entry.invitation) || !(state.ringsLeftOut || isNewer(entry));
  const over = [...known.values()]
    .filter((entry) => entry.phase === "ring" && !standing.has(entry.invitation) && isOver(entry))
    .map((entry) => overByState(entry, outcomes.get(entry.invitation), state));
  return [...rings, ...over];
}

function confirmed(entry: RingEntry | undefined, ring: Ring): RingVerdict {
  const base = { ...entry, ...entryOf(ring, ring.ringUntilMs) };
  const next: RingEntry = { ...base, rev: Math.max(ring.rev, entry?.rev ?? 0), phase: entry?.phase ?? "ring" };
  if (entry?.answer === "declined") return { effect: { type: "decline_again", ring } };
  if (next.phase !== "ring") return NOTHING;
  return { store: next, effect: { type: "ring", ring } };
}

function overByState(entry: RingEntry, outcome: Outcome | undefined, state: State): RingVerdict {
  const mine = state.call?.here === true && state.call.meeting === entry.ring?.meeting;
  const stop: RingEffect = {
    type: "stop",
    invitation: entry.invitation,
    reason: mine ? { type: "admitted" } : { type: "gone", missed: outcome !== undefined },
  };
  return { store: { ...entry, phase: outcome ? "missed" : "done" }, effect: stop };
}

function entryOf(ring: Ring, expiresAtMs: number): Omit<RingEntry, "phase"> {
  const keepUntilMs = Math.max(ring.ringUntilMs, expiresAtMs) + KEPT_AFTER_EXPIRY_MS;
  return { invitation: ring.invitation, rev: ring.rev, keepUntilMs, ring };
}

function ended(
  entry: RingEntry | undefined,
  invitation: InvitationId,
  phase: RingPhase,
  rev: number,
  expiresAtMs: number,
): RingEntry {
  const keepUntilMs = Math.max(entry?.keepUntilMs ?? 0, expiresAtMs + KEPT_AFTER_EXPIRY_MS);
  return { ...entry, invitation, phase, rev, keepUntilMs };
}
