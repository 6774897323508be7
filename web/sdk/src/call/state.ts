/**
 * The state of one call: a pure function of what happened.
 *
 * ```
 *  calling --another one is in--> joined --ended/leave--> ended
 *  incoming --accept--> accepting --admitted--> joined        (any) --ended/refused--> ended
 *     ^----expired--------/
 * ```
 *
 * Nothing here is asked of a method's return value: the service's signals decide.
 */

import type { ConvokeError } from "../core/errors.ts";
import type {
  Down,
  DownOf,
  EndReason,
  Joinable,
  Media,
  MeetingId,
  Member,
  RejectReason,
  Ring,
  Roster,
  RosterChange,
  StandingCall,
  Track,
  UserName,
} from "../wire.ts";

export type CallPhase = "calling" | "incoming" | "accepting" | "joined" | "ended";

/** How far a callee has come. */
export type Progress =
  | { type: "calling" }
  /** None of the callee's devices is online; it rings if one comes back before. */
  | { type: "waiting"; untilMs: number }
  | { type: "ringing" }
  | { type: "accepted" }
  | { type: "rejected"; reason: RejectReason }
  | { type: "busy" }
  /** The ring of this callee is over, the meeting is not. */
  | { type: "over"; reason: EndReason };

export interface CallEnd {
  /** `met`: it goes on as another call here, since the two called each other. */
  reason: EndReason | "refused" | "met";
  by?: UserName;
  error?: ConvokeError;
}

/**
 * The media path. `doubtful`: it seems to stand, but nothing has come in on it lately. `failed`: several attempts came to
 * nothing; it is still being tried.
 */
export type PathState = "idle" | "connecting" | "up" | "doubtful" | "lost" | "failed";

export interface Tracks<T> {
  audio: T;
  video: T;
}

export interface CallState {
  meeting: MeetingId;
  me: UserName;
  direction: "out" | "in";
  media: Media;
  title?: string;
  /** Who rings here. */
  from?: { user: UserName; name: string };
  /** Who was in when it rang here, or before coming back: how many, and some of their names, the caller's among them. */
  inside?: { members: number; names: readonly string[] };
  phase: CallPhase;
  /** The service has let this device in. */
  admitted: boolean;
  progress: Readonly<Record<UserName, Progress>>;
  roster: Roster;
  path: PathState;
  /** What is wrong with the media path, if it is known. */
  pathError?: ConvokeError;
  signalling: "up" | "down";
  /** By the person or, until the person unmutes, by the host. */
  muted: Tracks<boolean>;
  blocked: Tracks<boolean>;
  /** Who has blocked it, as far as this device was told: a roster does not say so. */
  blockedBy: Partial<Tracks<UserName>>;
  /** Who asks this person to unmute. */
  asked: Partial<Tracks<UserName>>;
  joinedAtMs?: number;
  end?: CallEnd;
}

/** What happens on this side. */
export type LocalEvent =
  | { type: "local_accept" }
  /** The accept came to nothing, and the ring stands. */
  | { type: "local_unanswered" }
  | { type: "local_roster"; roster: Roster }
  /** The state answer says that this device is in. */
  | { type: "local_admitted"; meeting: MeetingId; roster: Roster }
  | { type: "local_invite"; users: readonly UserName[] }
  /** The last invitation did not reach the service. */
  | { type: "local_not_invited" }
  | { type: "local_mute"; track: Track; muted: boolean }
  | { type: "local_asked_answered"; track: Track }
  | { type: "local_path"; path: PathState; error?: ConvokeError }
  | { type: "local_signalling"; signalling: "up" | "down" }
  | { type: "local_end"; end: CallEnd };

export type CallEvent = (Down | LocalEvent) & { atMs?: number };

const NO_TRACK: Tracks<boolean> = { audio: false, video: false };
const EMPTY_ROSTER: Roster = { rev: 0, members: [] };

export function outgoing(me: UserName, meeting: MeetingId, callees: readonly UserName[], media: Media): CallState {
  const progress = Object.fromEntries(callees.map((user) => [user, { type: "calling" } as const]));
  return { ...blank(me, meeting, media), direction: "out", phase: "calling", progress };
}

export function incoming(me: UserName, ring: Ring): CallState {
  const from = { user: ring.from, name: ring.fromName };
  const title = ring.title ?? undefined;
  return {
    ...blank(me, ring.meeting, ring.media),
    direction: "in",
    phase: "incoming",
    from,
    title,
    inside: { members: ring.members, names: ring.names ?? [] },
  };
}

/** A call that this device was in before a reload. */
export function resumed(me: UserName, call: StandingCall): CallState {
  const base: CallState = {
    ...blank(me, call.meeting, call.media),
    direction: "out",
    phase: "calling",
    admitted: true,
    progress: Object.fromEntries(call.roster.members.filter(isRung).map(({ user }) => [user, { type: "calling" }])),
  };
  const muted = self(call.roster, me)?.muted;
  const state = withRoster(base, call.roster, undefined);
  return { ...state, muted: { audio: muted?.audio ?? false, video: muted?.video ?? call.media === "audio" } };
}

/** A meeting to which this user comes back. */
export function returning(me: UserName, { meeting, media, title, members, names }: Joinable): CallState {
  const inside = { members, names: names ?? [] };
  return { ...blank(me, meeting, media), direction: "out", phase: "accepting", title: title ?? undefined, inside };
}

function blank(me: UserName, meeting: MeetingId, media: Media): Omit<CallState, "direction" | "phase"> {
  return {
    me,
    meeting,
    media,
    admitted: false,
    progress: {},
    roster: EMPTY_ROSTER,
    path: "idle",
    signalling: "up",
    muted: { audio: false, video: media === "audio" },
    blocked: NO_TRACK,
    blockedBy: {},
    asked: {},
  };
}

export function reduce(state: CallState, event: CallEvent): CallState {
  if (state.phase === "ended") return state;
  switch (event.type) {
    case "admitted":
      return admitted(state, event.roster, event.meeting ?? state.meeting, event.atMs);
    case "roster":
      return withRoster(state, event, event.atMs);
    case "roster_changed":
      return withChange(state, event, event.atMs);
    case "waiting":
      return withProgress(state, event.user, { type: "waiting", untilMs: event.untilMs });
    case "ringing":
      // An answer to this device's own `ringing`.
      if (event.inReplyTo) return state;
      return withProgress(state, event.user, { type: "ringing" });
    case "accepted":
      return withProgress(joinedOnce(state, event.atMs), event.user, { type: "accepted" });
    case "rejected":
      return withProgress(state, event.user, { type: "rejected", reason: event.reason });
    case "busy":
      return withProgress(state, event.user, { type: "busy" });
    case "refused":
      return withoutUnheard(state);
    case "muted":
      return hushed(state, event);
    case "blocked":
      return {
        ...state,
        blocked: { ...state.blocked, [event.track]: event.blocked },
        blockedBy: { ...state.blockedBy, [event.track]: event.blocked ? event.by : undefined },
      };
    case "unmute_asked":
      return { ...state, asked: { ...state.asked, [event.track]: event.by } };
    case "ended":
      return event.user
        ? withProgress(state, event.user, { type: "over", reason: event.reason })
        : ended(state, { reason: event.reason, by: event.by ?? undefined });
    default:
      return local(state, event);
  }
}

/** It is checked several times a second: a state that has not changed stays the same object. */
function withPath(state: CallState, path: PathState, error: ConvokeError | undefined): CallState {
  const pathError = path === "up" ? undefined : (error ?? state.pathError);
  return path === state.path && pathError === state.pathError ? state : { ...state, path, pathError };
}

function local(state: CallState, event: CallEvent): CallState {
  switch (event.type) {
    case "local_accept":
      return state.phase === "incoming" ? { ...state, phase: "accepting" } : state;
    case "local_unanswered":
      return state.phase === "accepting" ? { ...state, phase: "incoming" } : state;
    case "local_admitted":
      return withoutUnheard(admitted(state, event.roster, event.meeting, event.atMs));
    case "local_roster":
      return withRoster(state, event.roster, event.atMs);
    case "local_invite":
      return event.users.reduce((next, user) => withProgress(next, user, { type: "calling" }), state);
    case "local_not_invited":
      return withoutUnheard(state);
    case "local_mute":
      return { ...state, muted: { ...state.muted, [event.track]: event.muted } };
    case "local_asked_answered":
      return { ...state, asked: { ...state.asked, [event.track]: undefined } };
    case "local_path":
      return withPath(state, event.path, event.error);
    case "local_signalling":
      return { ...state, signalling: event.signalling };
    case "local_end":
      return ended(state, event.end);
    default:
      return state;
  }
}

function admitted(state: CallState, roster: Roster, meeting: MeetingId, atMs: number | undefined): CallState {
  const phase = state.phase === "accepting" || state.phase === "incoming" ? "joined" : state.phase;
  const joinedAtMs = phase === "joined" ? (state.joinedAtMs ?? atMs) : state.joinedAtMs;
  return withRoster({ ...state, meeting, admitted: true, phase, joinedAtMs }, roster, atMs);
}

/** A lower revision is older news. */
function withRoster(state: CallState, roster: Roster, atMs: number | undefined): CallState {
  if (roster.rev < state.roster.rev) return state;
  const { rev, host, members } = roster;
  const blocked = { ...NO_TRACK, ...self(roster, state.me)?.blocked };
  const { audio, video } = state.blockedBy;
  const blockedBy = { audio: blocked.audio ? audio : undefined, video: blocked.video ? video : undefined };
  const next = { ...state, roster: { rev, host, members }, blocked, blockedBy };
  return members.some((member) => member.user !== state.me && isIn(member)) ? joinedOnce(next, atMs) : next;
}

/** Whether something is missing between the roster that is known and the one that this changes. */
export function isGap({ roster }: CallState, { base, rev }: RosterChange): boolean {
  return rev > roster.rev && base > roster.rev;
}

function withChange(state: CallState, change: RosterChange, atMs: number | undefined): CallState {
  if (change.rev <= state.roster.rev || isGap(state, change)) return state;
  const changed = new Map(change.members?.map((member) => [member.user, member]));
  const gone = new Set(change.gone);
  const stay = state.roster.members.map((member) => changed.get(member.user) ?? member);
  const known = new Set(stay.map(({ user }) => user));
  const come = [...changed.values()].filter(({ user }) => !known.has(user));
  const members = [...stay, ...come].filter(({ user }) => !gone.has(user));
  return withRoster(state, { rev: change.rev, host: change.host, members }, atMs);
}

/** A mute from before the roster that is known counts only if that one knows it too: the person may have unmuted since. */
function hushed(state: CallState, { track, rev }: DownOf<"muted">): CallState {
  const isOlder = rev != null && rev < state.roster.rev;
  if (isOlder && !self(state.roster, state.me)?.muted?.[track]) return state;
  return { ...state, muted: { ...state.muted, [track]: true } };
}

function joinedOnce(state: CallState, atMs: number | undefined): CallState {
  return state.phase === "calling" ? { ...state, phase: "joined", joinedAtMs: atMs } : state;
}

function withProgress(state: CallState, user: UserName, progress: Progress): CallState {
  return { ...state, progress: { ...state.progress, [user]: progress } };
}

/** Without invitations that did not reach the service. */
function withoutUnheard(state: CallState): CallState {
  const rung = new Set(state.roster.members.map((member) => member.user));
  const known = Object.entries(state.progress).filter(([user, { type }]) => type !== "calling" || rung.has(user));
  return state.phase === "joined" ? { ...state, progress: Object.fromEntries(known) } : state;
}

function ended(state: CallState, end: CallEnd): CallState {
  return { ...state, phase: "ended", end };
}

function isRung({ state }: Member): boolean {
  return state === "invited" || state === "ringing";
}

/** Whether a member has been let in, and may be heard now or again. */
export function isIn(member: Member): boolean {
  return !isRung(member);
}

export function self(roster: Roster, me: UserName): Member | undefined {
  return roster.members.find((member) => member.user === me);
}

export function isHost(state: CallState): boolean {
  return state.roster.host === state.me;
}

/** How far a callee has come, the roster included. */
export function progressOf(state: CallState, user: UserName): Progress {
  const told = state.progress[user] ?? { type: "calling" };
  const member = state.roster.members.find((other) => other.user === user);
  if (member && isIn(member)) return { type: "accepted" };
  return member?.state === "ringing" && told.type !== "over" ? { type: "ringing" } : told;
}
