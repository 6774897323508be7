/**
 * A filter for signals of `meeting-down` that are still news. They may be delivered again, and late: the broker keeps
 * them for a while and repeats what it is not sure of. Ends and questions to the person are never too old; the rest
 * tells a state that may have changed since.
 */

import type { ServiceClock } from "../core/clock.ts";
import type { Down, MeetingId, SignalId } from "../wire.ts";

/** Signal ids that are remembered; the oldest are forgotten first. */
const SEEN_MAX = 2_048;
/** Meetings whose end is remembered, likewise. */
const ENDS_MAX = 512;
/** Signals that say how something stands. */
const OF_STATE = new Set<Down["type"]>(["muted", "blocked", "admitted", "roster", "roster_changed", "state"]);

export class SignalFilter {
  readonly #clock: ServiceClock;
  readonly #seen = new Set<SignalId>();
  readonly #ends = new Map<MeetingId, number>();

  constructor(clock: ServiceClock) {
    this.#clock = clock;
  }

  /** Remembers the signal. `knownRev`: of the roster that is known of its meeting. */
  accepts(down: Down, knownRev: number): boolean {
    if (this.#seen.has(down.id)) return false;
    this.#remember(down);
    if (!OF_STATE.has(down.type)) return true;
    if (this.#hasExpired(down)) return false;
    // Each entry of a state has a revision of its own.
    if (down.type === "state") return true;
    const rev = revOf(down);
    // Whether a mute still holds is what the roster says.
    const isOld = down.type !== "muted" && rev < knownRev;
    return !isOld && !this.isBeforeEnd(down.meeting, rev);
  }

  /** Whether the meeting has ended here by a decision after `rev`. */
  isBeforeEnd(meeting: MeetingId | null | undefined, rev: number): boolean {
    return rev < (this.#ends.get(meeting ?? "") ?? 0);
  }

  #remember(down: Down): void {
    this.#seen.add(down.id);
    forgetOldest(this.#seen, SEEN_MAX);
    if (down.type !== "ended" || down.user || !down.meeting) return;
    const rev = Math.max(down.rev, this.#ends.get(down.meeting) ?? 0);
    this.#ends.delete(down.meeting);
    this.#ends.set(down.meeting, rev);
    forgetOldest(this.#ends, ENDS_MAX);
  }

  #hasExpired(down: Down): boolean {
    return this.#clock.isKnown && this.#clock.nowMs() >= down.expiresAtMs;
  }
}

/** Of the decision that caused it; a signal that names none is as new as anything. */
function revOf(down: Down): number {
  if (down.type === "roster" || down.type === "roster_changed") return down.rev;
  if (down.type === "admitted") return down.rev ?? down.roster.rev;
  return down.rev ?? Number.POSITIVE_INFINITY;
}

function forgetOldest<K>(kept: { size: number; keys(): Iterable<K>; delete(key: K): boolean }, max: number): void {
  const [oldest] = kept.keys();
  if (oldest !== undefined && kept.size > max) kept.delete(oldest);
}
