/**
 * All rings of this device. It stores first, and hands back what to show, so that its caller can let the
 * acknowledgement go in between.
 *
 * Calls into it are taken one after the other: a rule always sees what the one before it has stored.
 */

import type { ServiceClock } from "../core/clock.ts";
import type { Down, DownOf, InvitationId, Outcome, Ring, State } from "../wire.ts";
import {
  isNewer,
  onDeadline,
  onDeclined,
  onEnded,
  onInvitation,
  onSeen,
  onSeenHere,
  onSettled,
  onState,
  type RingEffect,
  type RingEntry,
  type RingVerdict,
} from "./rules.ts";
import type { RingStore } from "./store.ts";

/** Entries that a device keeps at most; the oldest go first. */
const ENTRIES_MAX = 2_000;

export type RingSignal = DownOf<"invitation"> | DownOf<"ended"> | DownOf<"seen">;

export class RingBook {
  readonly #store: RingStore;
  readonly #clock: ServiceClock;
  readonly #entries = new Map<InvitationId, RingEntry>();
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(store: RingStore, clock: ServiceClock) {
    this.#store = store;
    this.#clock = clock;
  }

  static async open(store: RingStore, clock: ServiceClock): Promise<RingBook> {
    const book = new RingBook(store, clock);
    for (const entry of await store.all()) book.#entries.set(entry.invitation, entry);
    return book;
  }

  entry(invitation: InvitationId): RingEntry | undefined {
    return this.#entries.get(invitation);
  }

  /** Stores what a signal changes and returns what is to be shown; rejects if it could not be stored. */
  receive(signal: RingSignal, dup: boolean): Promise<RingEffect> {
    return this.#next(() => this.#apply(this.#judge(signal, dup)));
  }

  /** Holds the entries against the state answer. */
  confirm(state: State, took_ms: number): Promise<RingEffect[]> {
    return this.#next(async () => {
      const effects: RingEffect[] = [];
      for (const verdict of onState(this.#entries.values(), state, took_ms)) effects.push(await this.#apply(verdict));
      await this.#prune();
      return effects;
    });
  }

  /** Whether there is an invitation of which this answer neither says that it stands nor can say that it does not. */
  leavesOpen(state: State, took_ms: number): boolean {
    const standing = new Set(state.rings.map((ring) => ring.invitation));
    const open = (entry: RingEntry) => entry.phase === "ring" && !standing.has(entry.invitation);
    return [...this.#entries.values()].some((entry) => open(entry) && isNewer(entry, state, took_ms));
  }

  declined(invitation: InvitationId): Promise<RingEffect> {
    return this.#change(invitation, onDeclined);
  }

  settled(invitation: InvitationId): Promise<RingEffect> {
    return this.#change(invitation, onSettled);
  }

  deadline(invitation: InvitationId): Promise<RingEffect> {
    return this.#change(invitation, onDeadline);
  }

  /** Also of a missed call that is known by the state answer alone. */
  seen(outcome: Outcome): Promise<RingEffect> {
    return this.#next(() =>
      this.#apply(onSeenHere(this.#entries.get(outcome.invitation), outcome, this.#clock.now_ms())),
    );
  }

  #judge(signal: RingSignal, dup: boolean): RingVerdict {
    const entry = signal.invitation ? this.#entries.get(signal.invitation) : undefined;
    if (signal.type === "ended") return onEnded(entry, signal);
    if (signal.type === "seen") return onSeen(entry, signal);
    const now = { now_ms: this.#clock.now_ms(), clock_known: this.#clock.isKnown };
    return onInvitation(entry, ringOf(signal), { ...signal, dup }, now);
  }

  #change(invitation: InvitationId, rule: (entry: RingEntry) => RingVerdict): Promise<RingEffect> {
    return this.#next(async () => {
      const entry = this.#entries.get(invitation);
      return entry ? this.#apply(rule(entry)) : { do: "nothing" };
    });
  }

  async #apply({ store, effect }: RingVerdict): Promise<RingEffect> {
    if (store) {
      await this.#store.put(store);
      this.#entries.set(store.invitation, store);
    }
    return effect;
  }

  async #prune(): Promise<void> {
    const now_ms = this.#clock.now_ms();
    const oldest = [...this.#entries.values()].sort((a, b) => a.keep_until_ms - b.keep_until_ms);
    const excess = Math.max(0, oldest.length - ENTRIES_MAX);
    const gone = oldest.filter((entry, i) => i < excess || entry.keep_until_ms < now_ms);
    if (gone.length === 0) return;
    await this.#store.remove(gone.map((entry) => entry.invitation));
    for (const entry of gone) this.#entries.delete(entry.invitation);
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

export function isRingSignal(signal: Down): signal is RingSignal {
  return signal.type === "invitation" || signal.type === "seen" || (signal.type === "ended" && !!signal.invitation);
}

function ringOf(signal: DownOf<"invitation">): Ring {
  const { invitation, rev, meeting, from, from_name, media, title, ring_until_ms, join, members, names, ringing } =
    signal;
  return { invitation, rev, meeting, from, from_name, media, title, ring_until_ms, join, members, names, ringing };
}
