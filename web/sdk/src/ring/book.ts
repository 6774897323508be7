/**
 * The book of all rings of this device. It stores first, then returns what to show, so that its caller can send the
 * acknowledgement in between.
 *
 * Calls into it are taken one after the other: a rule always sees what the one before it has stored.
 */

import type { ServiceClock } from "../core/clock.ts";
import type { Down, DownOf, InvitationId, Outcome, Ring, State } from "../wire.ts";
import {
  onDeadline,
  onDecided,
  onDeclined,
  onEnded,
  onInvitation,
  onSeen,
  onSeenHere,
  onState,
  type RingEffect,
  type RingEntry,
  type RingVerdict,
} from "./rules.ts";
import type { RingStore } from "./store.ts";

/** Entries that a device keeps at most; the oldest go first. */
const ENTRIES_MAX = 2_000;

export type RingSignal = DownOf<"invitation"> | DownOf<"ended"> | DownOf<"seen">;

/** A state, and how many invitations had come when it was asked for. */
export interface StateAnswer {
  state: State;
  known: number;
}

export class RingBook {
  readonly #store: RingStore;
  readonly #clock: ServiceClock;
  readonly #entries = new Map<InvitationId, RingEntry>();
  /** How many invitations had come when each one came, in this life of the page. */
  readonly #came = new Map<InvitationId, number>();
  #lastWork: Promise<unknown> = Promise.resolve();

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

  /** How many invitations have come; a question that is asked now knows of them all. */
  get count(): number {
    return this.#came.size;
  }

  /** Stores what a signal changes, and then returns what is to be shown. */
  receive(signal: RingSignal, dup: boolean): Promise<RingEffect> {
    const { invitation } = signal;
    if (invitation && !this.#entries.has(invitation) && !this.#came.has(invitation))
      this.#came.set(invitation, this.count + 1);
    return this.#next(() => this.#apply(this.#judge(signal, dup)));
  }

  /** Holds the entries against the state answer. */
  confirm(answer: StateAnswer): Promise<RingEffect[]> {
    return this.#next(async () => {
      const effects: RingEffect[] = [];
      const { state } = answer;
      const isNewer = (entry: RingEntry) => this.#isNewer(entry, answer);
      for (const verdict of onState(this.#entries.values(), state, isNewer)) effects.push(await this.#apply(verdict));
      await this.#prune(state.nowMs);
      return effects;
    });
  }

  /** Whether there is an invitation of which this answer neither says that it stands nor can say that it does not. */
  leavesOpen(answer: StateAnswer): boolean {
    return this.#unnamed(answer.state).some((entry) => this.#isNewer(entry, answer));
  }

  /** What may stand without being named, where an answer had no room for all. */
  leftOut(state: State): InvitationId[] {
    return state.ringsLeftOut ? this.#unnamed(state).map((entry) => entry.invitation) : [];
  }

  #unnamed(state: State): RingEntry[] {
    const standing = new Set(state.rings.map((ring) => ring.invitation));
    return [...this.#entries.values()].filter((entry) => entry.phase === "ring" && !standing.has(entry.invitation));
  }

  declined(invitation: InvitationId): Promise<RingEffect> {
    return this.#change(invitation, onDeclined);
  }

  decided(invitation: InvitationId): Promise<RingEffect> {
    return this.#change(invitation, onDecided);
  }

  deadline(invitation: InvitationId): Promise<RingEffect> {
    return this.#change(invitation, onDeadline);
  }

  /** Also of a missed call that is known by the state answer alone. */
  seen(outcome: Outcome): Promise<RingEffect> {
    return this.#next(() =>
      this.#apply(onSeenHere(this.#entries.get(outcome.invitation), outcome, this.#clock.nowMs())),
    );
  }

  /** It came here after the question: its decision, however old, may have been stored after that was answered. */
  #isNewer({ invitation }: RingEntry, { known }: StateAnswer): boolean {
    return (this.#came.get(invitation) ?? 0) > known;
  }

  #judge(signal: RingSignal, dup: boolean): RingVerdict {
    const entry = signal.invitation ? this.#entries.get(signal.invitation) : undefined;
    if (signal.type === "ended") return onEnded(entry, signal);
    if (signal.type === "seen") return onSeen(entry, signal);
    const now = { nowMs: this.#clock.nowMs(), clockKnown: this.#clock.isKnown };
    return onInvitation(entry, ringOf(signal), { ...signal, dup }, now);
  }

  #change(invitation: InvitationId, rule: (entry: RingEntry) => RingVerdict): Promise<RingEffect> {
    return this.#next(async () => {
      const entry = this.#entries.get(invitation);
      return entry ? this.#apply(rule(entry)) : { type: "nothing" };
    });
  }

  async #apply({ store, effect }: RingVerdict): Promise<RingEffect> {
    if (store) {
      await this.#store.put(store);
      this.#entries.set(store.invitation, store);
    }
    return effect;
  }

  async #prune(nowMs: number): Promise<void> {
    const oldest = [...this.#entries.values()].sort((a, b) => a.keepUntilMs - b.keepUntilMs);
    const excess = Math.max(0, oldest.length - ENTRIES_MAX);
    const gone = oldest.filter((entry, i) => i < excess || entry.keepUntilMs < nowMs);
    if (gone.length === 0) return;
    await this.#store.remove(gone.map((entry) => entry.invitation));
    for (const entry of gone) this.#entries.delete(entry.invitation);
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#lastWork.then(work);
    this.#lastWork = done.catch(() => {});
    return done;
  }
}

export function isRingSignal(signal: Down): signal is RingSignal {
  return signal.type === "invitation" || signal.type === "seen" || (signal.type === "ended" && !!signal.invitation);
}

function ringOf(signal: DownOf<"invitation">): Ring {
  const { invitation, rev, meeting, from, fromName, media, title, ringUntilMs, join, members, names, ringing } = signal;
  return { invitation, rev, meeting, from, fromName, media, title, ringUntilMs, join, members, names, ringing };
}
