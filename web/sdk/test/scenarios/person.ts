/** What the person at a terminal sees, in the words of the scripts. Some of it outlives the terminal: a person remembers. */

import type { Call, CallState, Client, Member, Outcome } from "../../src/index.ts";
import type { Step } from "./script.ts";

export class Person {
  /** What was seen and not named yet. */
  readonly shown: Step[] = [];
  readonly #rung = new Set<string>();
  readonly #missed = new Set<string>();
  #life = 0;
  #rings = new Map<string, Call>();
  #calls = new Map<Call, CallState>();
  #rosters = new Map<Call, string>();
  /** Rings that are over: a missed call may still come of them. */
  #over: { invitation: string; reason: string }[] = [];
  #joinable = "[]";
  #elsewhere: string | undefined;
  /** The missed calls on the screen, and those that were said to be seen. */
  #listed = new Set<string>();
  readonly #told = new Set<string>();

  /** Looks at a terminal that has just begun. */
  watches(client: Client): void {
    this.#life += 1;
    this.#rings = new Map();
    this.#calls = new Map();
    this.#rosters = new Map();
    this.#joinable = "[]";
    this.#elsewhere = undefined;
    this.#listed = new Set();
    const life = this.#life;
    const now = (see: () => void) => life === this.#life && see();
    client.on("incoming", (call) => now(() => this.#incoming(call, now)));
    client.on("call", (call) => now(() => this.follows(call)));
    client.on("missed", (list) => now(() => this.#missedCalls(list)));
    client.on("elsewhere", (call) => now(() => this.#isElsewhere(call?.meeting)));
    client.on("joinable", (list) => now(() => this.#mayJoin(list.map(({ meeting }) => meeting))));
  }

  ring(invitation: string): Call {
    const call = this.#rings.get(invitation);
    if (!call) throw new Error("that does not ring");
    return call;
  }

  call(meeting: string): Call | undefined {
    return [...this.#calls.keys()].find((call) => call.meeting === meeting && call.state.phase !== "ended");
  }

  /** A call that was made here, or that this device is in. */
  follows(call: Call): void {
    if (this.#calls.has(call)) return;
    const first = { ...call.state, admitted: false };
    this.#calls.set(call, first);
    this.#compare(call, first, call.state);
    call.on("state", (state) => this.#compare(call, this.#calls.get(call) ?? first, state));
  }

  /** Before anything is asked of what was shown: of the rings that are over, which were missed. */
  concludes(): void {
    for (const { invitation, reason } of this.#over.splice(0)) {
      if (!this.#missed.has(invitation)) this.shown.push({ shows: "ring_over", invitation, reason });
    }
  }

  hearsOfSeen(invitation: string): void {
    this.#told.add(invitation);
  }

  /** What the person did is not news; that the service has heard it is. */
  hearsOfEnd(meeting: string, reason: string): void {
    const left = [...this.#calls].find(([call, { end, me }]) => call.meeting === meeting && end?.by === me);
    if (!left) return;
    this.#calls.delete(left[0]);
    this.shown.push({ shows: "call_over", meeting, reason });
  }

  #incoming(call: Call, now: (see: () => void) => void): void {
    const invitation = call.invitation ?? "";
    this.shown.push({ shows: "ring", invitation, resumed: this.#rung.has(invitation) });
    this.#rung.add(invitation);
    this.#rings.set(invitation, call);
    call.on("state", (state) => now(() => this.#ringChanged(call, invitation, state)));
  }

  #ringChanged(call: Call, invitation: string, state: CallState): void {
    if (state.admitted) return this.follows(call);
    if (state.phase !== "ended" || !this.#rings.delete(invitation)) return;
    const reason = state.end?.reason ?? "";
    // It has become the call that was made here.
    if (reason === "met") return;
    if (reason === "no_answer" && state.end?.by === undefined) this.#miss(invitation);
    this.#over.push({ invitation, reason });
  }

  #compare(call: Call, before: CallState, state: CallState): void {
    if (before.end) return;
    this.#calls.set(call, state);
    const { meeting } = call;
    if (state.end && state.end.by !== state.me) {
      return void this.shown.push({ shows: "call_over", meeting, reason: state.end.reason });
    }
    for (const track of ["audio", "video"] as const) {
      if (state.muted[track] && !before.muted[track] && !this.mutes)
        this.shown.push({ shows: "muted", meeting, track });
      if (state.asked[track] && !before.asked[track]) this.shown.push({ shows: "unmute_asked", meeting, track });
    }
    for (const [user, { type: is }] of Object.entries(state.progress)) {
      if (before.progress[user]?.type !== is && is !== "calling")
        this.shown.push({ shows: "progress", meeting, user, is });
    }
    if (state.admitted) this.#roster(call, before.admitted);
  }

  /** The person is muting, and knows it. */
  mutes = false;

  #roster(call: Call, again: boolean): void {
    const users = call.state.roster.members.map(words).sort();
    const said = JSON.stringify(users);
    if (this.#rosters.get(call) === said && again) return;
    this.#rosters.set(call, said);
    this.shown.push({ shows: again ? "roster" : "in_call", meeting: call.meeting, users });
  }

  #missedCalls(list: readonly Outcome[]): void {
    const listed = new Set(list.map(({ invitation }) => invitation));
    for (const invitation of listed) this.#miss(invitation);
    for (const invitation of this.#listed) {
      if (!listed.has(invitation) && this.#told.delete(invitation)) this.shown.push({ shows: "seen", invitation });
    }
    this.#listed = listed;
  }

  #miss(invitation: string): void {
    if (this.#missed.has(invitation)) return;
    this.#missed.add(invitation);
    this.shown.push({ shows: "missed", invitation });
  }

  #isElsewhere(meeting: string | undefined): void {
    if (meeting && meeting !== this.#elsewhere) this.shown.push({ shows: "elsewhere", meeting });
    this.#elsewhere = meeting;
  }

  #mayJoin(meetings: string[]): void {
    const said = JSON.stringify(meetings);
    if (said !== this.#joinable) this.shown.push({ shows: "joinable", meetings });
    this.#joinable = said;
  }
}

/** A member, with what is not as usual. */
function words({ user, state, muted, blocked }: Member): string {
  const said = state === "in" ? [user] : [user, state];
  for (const [word, off] of Object.entries({ muted, blocked })) {
    for (const track of ["audio", "video"] as const) if (off?.[track]) said.push(word, track);
  }
  return said.join(" ");
}
