/* Made from crates/signalling/signalling.schema.json by `npm run types`. Do not edit. */

/**
 * A signal of the service, on `ring-down/p2p/<clientId>/<type>` or `meeting-down/p2p/<clientId>/<type>`.
 */
export type Down = {
  /**
   * Milliseconds since 1970 by the service's clock; a request about a meeting that arrives later is refused. `state`,
   * `contacts`, `history` and `seen` are handled whenever they come: a terminal learns that clock from the answer to `state`.
   */
  expires_at_ms: number;
  /**
   * Made anew for each signal; a request that is sent again keeps its id.
   */
  id: SignalId;
  /**
   * The `id` of the request that this answers; absent from requests and news.
   */
  in_reply_to?: SignalId | null;
  /**
   * Absent only where a signal is about no meeting (`state`, `contacts`, `history`, `seen` and
   * their answers).
   */
  meeting?: MeetingId | null;
  /**
   * The meeting's revision by the decision that caused this signal; absent from requests, and from answers that no
   * decision caused (in `state` each call and ring has its own).
   */
  rev?: number | null;
  /**
   * Milliseconds since 1970 by the sender's clock.
   */
  sent_at_ms: number;
  /**
   * Schema version, 1.
   */
  v: number;
} & Down1;
/**
 * The id of one signal: a UUIDv7 (RFC 9562). A request is handled once per id, however often it is delivered.
 */
export type SignalId = string;
/**
 * The id of one meeting: a UUIDv7, made by the terminal that creates it; refused if taken.
 */
export type MeetingId = string;
export type Down1 =
  | (Ring & {
      type: "invitation";
    })
  | {
      /**
       * Who ended it, where a person did; `:operator` is an operator of the server.
       */
      by?: UserName | null;
      /**
       * The ring that is over. Absent: the meeting is over for the receiver.
       */
      invitation?: InvitationId | null;
      /**
       * Present when the user has missed a call by this.
       */
      outcome?: Outcome | null;
      reason: EndReason;
      /**
       * The meeting's revision, as in `invitation`.
       */
      rev: number;
      type: "ended";
      /**
       * On `meeting-down` only: the callee whose ring is over. Absent: the meeting is over for the receiver.
       */
      user?: UserName | null;
    }
  | {
      invitation: InvitationId;
      /**
       * Above that of the outcome; 0 in the answer (on `meeting-down`) where there is nothing to be seen (any more).
       */
      rev: number;
      type: "seen";
    }
  | {
      join: JoinParameters;
      roster: Roster;
      type: "admitted";
    }
  | {
      code: RefusalCode;
      type: "refused";
      /**
       * The thing, the cause and the remedy in English, for logs and developers; programs go by `code`.
       */
      words: string;
    }
  | {
      type: "waiting";
      /**
       * Milliseconds since 1970, service's clock.
       */
      until_ms: number;
      user: UserName;
    }
  | {
      type: "ringing";
      user: UserName;
    }
  | {
      type: "accepted";
      user: UserName;
    }
  | {
      reason: RejectReason;
      type: "rejected";
      user: UserName;
    }
  | {
      type: "busy";
      user: UserName;
    }
  | (Roster & {
      type: "roster";
    })
  | (RosterChange & {
      type: "roster_changed";
    })
  | {
      by: UserName;
      track: Track;
      type: "muted";
    }
  | {
      /**
       * `false`: lifted.
       */
      blocked: boolean;
      by: UserName;
      track: Track;
      type: "blocked";
    }
  | {
      by: UserName;
      track: Track;
      type: "unmute_asked";
    }
  | (State & {
      type: "state";
    })
  | {
      type: "contacts";
      users: Contact[];
    }
  | {
      type: "presence";
      users: Contact[];
    }
  | {
      calls: PastCall[];
      /**
       * What asks for the next page, as `before`; opaque. Absent: there are no older ones.
       */
      next?: string | null;
      type: "history";
    };
/**
 * The account that owns devices: 1 to 64 characters of `[A-Za-z0-9_.@+-]`.
 */
export type UserName = string;
/**
 * The id of one ring of one callee, for all devices of that user: a UUIDv7, never used again. It is the collapse key.
 */
export type InvitationId = string;
/**
 * The media resource at the RTC server; the meeting's id as text.
 */
export type ChannelId = string;
/**
 * The id of one stay of one client in a channel: a UUIDv7.
 */
export type ParticipationId = string;
/**
 * The fixed number of receive slots of one media connection: at most so many may be offered.
 */
export type Profile = "call" | "meeting" | "large";
/**
 * What a call is announced as. It binds nobody: each person chooses what to send.
 */
export type Media = "audio" | "video";
/**
 * How a call was missed.
 */
export type OutcomeKind = "missed" | "missed_busy";
/**
 * How a ring or a meeting ended.
 */
export type EndReason =
  | "cancelled"
  | "no_answer"
  | "declined"
  | "answered_elsewhere"
  | "declined_elsewhere"
  | "caller_gone"
  | "left"
  | "kicked"
  | "destroyed"
  | "failed";
/**
 * How far a member is.
 */
export type MemberState = "invited" | "ringing" | "joining" | "in" | "lost" | "no_media";
/**
 * Why a request was refused.
 */
export type RefusalCode =
  "invalid" | "expired" | "not_allowed" | "taken" | "not_member" | "not_host" | "already_in_call" | "limit";
/**
 * Why a callee does not take a call.
 */
export type RejectReason = "declined" | "busy";
/**
 * What is muted or blocked.
 */
export type Track = "audio" | "video";
/**
 * Whether a user can be reached now.
 */
export type Presence = "online" | "in_call" | "offline";
/**
 * Who called whom.
 */
export type Direction = "made" | "received";
/**
 * What became of a call, for one user.
 */
export type CallResult = "answered" | "missed" | "declined" | "no_answer" | "busy" | "cancelled" | "failed";
/**
 * What a participation sends.
 */
export type Source = ("microphone" | "camera" | "screen") | "screen_audio";
/**
 * What an offered m-line is for.
 */
export type Purpose = "microphone" | "camera" | "screen" | "screen_audio" | "audio_slot" | "video_slot";
/**
 * A request of a terminal, on `meeting-up/<type>`.
 */
export type Up = {
  /**
   * Milliseconds since 1970 by the service's clock; a request about a meeting that arrives later is refused. `state`,
   * `contacts`, `history` and `seen` are handled whenever they come: a terminal learns that clock from the answer to `state`.
   */
  expires_at_ms: number;
  /**
   * Made anew for each signal; a request that is sent again keeps its id.
   */
  id: SignalId;
  /**
   * The `id` of the request that this answers; absent from requests and news.
   */
  in_reply_to?: SignalId | null;
  /**
   * Absent only where a signal is about no meeting (`state`, `contacts`, `history`, `seen` and
   * their answers).
   */
  meeting?: MeetingId | null;
  /**
   * The meeting's revision by the decision that caused this signal; absent from requests, and from answers that no
   * decision caused (in `state` each call and ring has its own).
   */
  rev?: number | null;
  /**
   * Milliseconds since 1970 by the sender's clock.
   */
  sent_at_ms: number;
  /**
   * Schema version, 1.
   */
  v: number;
} & Up1;
export type Up1 =
  | {
      /**
       * At most 50, not the sender. Empty: a meeting that rings nobody and waits for invites.
       */
      callees: UserName[];
      /**
       * What the callees are told that the call is.
       */
      media: Media;
      /**
       * Shown to the callees; at most 200 characters.
       */
      title?: string | null;
      type: "create";
    }
  | {
      /**
       * At most 50; who is in or is being rung already is left alone.
       */
      callees: UserName[];
      type: "invite";
    }
  | {
      invitation: InvitationId;
      type: "ringing";
    }
  | {
      invitation: InvitationId;
      type: "accept";
    }
  | {
      invitation: InvitationId;
      reason: RejectReason;
      type: "reject";
    }
  | {
      /**
       * Absent: all whom the sender has invited; the host means everybody's invitations.
       */
      callee?: UserName | null;
      type: "cancel";
    }
  | {
      type: "join";
    }
  | {
      type: "leave";
    }
  | {
      track: Track;
      type: "mute";
      /**
       * Absent: oneself. Another member: only the host may.
       */
      user?: UserName | null;
    }
  | {
      track: Track;
      type: "unmute";
    }
  | {
      track: Track;
      type: "block";
      user: UserName;
    }
  | {
      track: Track;
      type: "unblock";
      user: UserName;
    }
  | {
      track: Track;
      type: "ask_unmute";
      user: UserName;
    }
  | {
      /**
       * Seconds for which nobody may invite the user into this meeting again. 0: at once.
       */
      ban_s?: number;
      type: "kick";
      user: UserName;
    }
  | {
      type: "destroy";
    }
  | {
      type: "roster";
    }
  | {
      type: "state";
    }
  | {
      type: "contacts";
      /**
       * Seconds, at most 120, for which changes of their presence are told by `presence`; each such request begins
       * them anew, 0 ends them. Absent: asked once, nothing else is told.
       */
      watch_s?: number | null;
    }
  | {
      /**
       * The `next` of the page before. Absent: the newest.
       */
      before?: string | null;
      /**
       * How many at most, 1 to 50. Absent: 20.
       */
      limit?: number | null;
      type: "history";
    }
  | {
      invitation: InvitationId;
      type: "seen";
    };

/**
 * Holds one of each root, so that one document defines them all. It never travels itself.
 */
export interface Signalling {
  down: Down;
  join_answer: JoinAnswer;
  join_request: JoinRequest;
  slot_map: SlotMap;
  up: Up;
}
/**
 * An invitation as a callee's device gets it.
 */
export interface Ring {
  /**
   * The inviter.
   */
  from: UserName;
  /**
   * The inviter's name for people.
   */
  from_name: string;
  invitation: InvitationId;
  /**
   * Token waiting: the media path may be warmed while it rings.
   */
  join: JoinParameters;
  media: Media;
  /**
   * The same as in the envelope.
   */
  meeting: MeetingId;
  /**
   * How many are in the meeting already.
   */
  members: number;
  /**
   * The names for people of those who are in, the longest first; at most ten.
   */
  names?: string[];
  /**
   * Rises with each transaction of the meeting; a lower one than the last seen for this invitation is ignored.
   */
  rev: number;
  /**
   * Milliseconds since 1970, service's clock. Past this moment no ring may begin, it is missed. One that began before goes on until the
   * service ends it.
   */
  ring_until_ms: number;
  /**
   * The service has heard of a device of this user that rings.
   */
  ringing?: boolean;
  title?: string | null;
}
/**
 * What a terminal needs to join; part of every invitation and admission.
 */
export interface JoinParameters {
  /**
   * The instance that the channel belongs to.
   */
  app: string;
  channel: ChannelId;
  /**
   * Base addresses of join endpoints (`https://host:8443`), best first; the terminal posts to `<endpoint>/rtc/v1/join`.
   */
  endpoints: string[];
  participation: ParticipationId;
  /**
   * The largest profile that the terminal needs to offer.
   */
  profile: Profile;
  /**
   * Authorises the join, sent as `Authorization: Bearer`: opaque to the terminal, good for ten minutes by
   * default. A callee's is *waiting* until its accept is decided: it connects, and nothing flows.
   */
  token: string;
  /**
   * For networks from which the media port cannot be reached. No configuration names any yet: absent.
   */
  turn?: TurnServer[];
  user: UserName;
}
/**
 * A TURN server. A terminal uses those that it is told; no configuration names any yet.
 */
export interface TurnServer {
  credential: string;
  /**
   * `turn:` and `turns:` addresses (RFC 7065).
   */
  urls: string[];
  username: string;
}
/**
 * A call that the user has missed and not seen yet.
 */
export interface Outcome {
  /**
   * When it was missed: milliseconds since 1970, service's clock.
   */
  at_ms: number;
  /**
   * Who called.
   */
  from: UserName;
  /**
   * The caller's name for people.
   */
  from_name: string;
  invitation: InvitationId;
  kind: OutcomeKind;
  media: Media;
  meeting: MeetingId;
  /**
   * As in `invitation`.
   */
  rev: number;
}
/**
 * Who is in the meeting and who is being rung.
 */
export interface Roster {
  host?: UserName | null;
  members: Member[];
  /**
   * The meeting's revision: a roster with a lower one than the last seen is ignored.
   */
  rev: number;
}
/**
 * A user who is in the meeting or is being rung.
 */
export interface Member {
  /**
   * By the host, until the host lifts it.
   */
  blocked?: Muted;
  /**
   * By the member, or by the host until the member unmutes.
   */
  muted?: Muted;
  /**
   * The user's name for people.
   */
  name: string;
  /**
   * By which slots name this member; present for whoever has been admitted.
   */
  participation?: ParticipationId | null;
  state: MemberState;
  user: UserName;
}
/**
 * Which tracks do not leave the RTC server.
 */
export interface Muted {
  audio?: boolean;
  video?: boolean;
}
/**
 * What makes a roster of `base` (or of any revision from there up to `rev`) the roster of `rev`.
 */
export interface RosterChange {
  /**
   * The revision of the roster before the change. Above the one that the receiver knows: something is missing, it asks
   * for the `roster`.
   */
  base: number;
  /**
   * Who is neither in nor being rung any more.
   */
  gone?: UserName[];
  host: UserName;
  /**
   * Who came or changed, whole; each replaces what was known of the same user.
   */
  members?: Member[];
  rev: number;
}
/**
 * Answer to `state`: all that stands for this user and device.
 */
export interface State {
  /**
   * The call that this user is in, on which device, with parameters to join again from here.
   */
  call?: StandingCall | null;
  /**
   * Living meetings that the user has left, or lost, and may `join` again; the newest first.
   */
  joinable?: Joinable[];
  /**
   * The user's name for people.
   */
  name: string;
  /**
   * The service's clock, milliseconds since 1970: terminals correct theirs by it.
   */
  now_ms: number;
  /**
   * The newest first, as many as fit into one message.
   */
  outcomes: Outcome[];
  /**
   * Calls that still ring for this user.
   */
  rings: Ring[];
  /**
   * More calls ring than found room: one that is not named may stand. The terminal ends none for that, and asks again.
   */
  rings_left_out?: boolean;
  /**
   * Who the asking device's user is.
   */
  user: UserName;
}
/**
 * A call that goes on.
 */
export interface StandingCall {
  /**
   * Whether the asking device is the one that is in the call.
   */
  here: boolean;
  /**
   * Present when `here`.
   */
  join?: JoinParameters | null;
  media: Media;
  meeting: MeetingId;
  roster: Roster;
}
/**
 * A meeting that goes on without the user, who was a member and may come back.
 */
export interface Joinable {
  media: Media;
  meeting: MeetingId;
  /**
   * How many are in.
   */
  members: number;
  /**
   * As in an invitation.
   */
  names?: string[];
  rev: number;
  title?: string | null;
}
/**
 * A user whom one may call.
 */
export interface Contact {
  /**
   * The user's name for people.
   */
  name: string;
  presence: Presence;
  /**
   * When `offline`: since when, milliseconds since 1970; absent if never seen.
   */
  since_ms?: number | null;
  user: UserName;
}
/**
 * A call that is over for this user: one entry for each meeting.
 */
export interface PastCall {
  direction: Direction;
  /**
   * When `answered`: for how long this user was in.
   */
  duration_ms?: number | null;
  media: Media;
  meeting: MeetingId;
  /**
   * How many more there were.
   */
  others: number;
  result: CallResult;
  /**
   * When it was made, or first rang for this user: milliseconds since 1970, service's clock.
   */
  started_at_ms: number;
  title?: string | null;
  /**
   * With whom, at most ten, named as they were at the time: who called first, or else those who were called.
   */
  with: Person[];
}
/**
 * A user by name.
 */
export interface Person {
  /**
   * The user's name for people.
   */
  name: string;
  user: UserName;
}
/**
 * Answer of the join endpoint.
 */
export interface JoinAnswer {
  /**
   * The SDP answer.
   */
  sdp: string;
  /**
   * The first slot map; later ones come on the data channel `slots` at the actual switch.
   */
  slots: SlotMap;
}
/**
 * Who is in which slot. A map with a lower epoch than the last one seen is ignored.
 */
export interface SlotMap {
  /**
   * Rises with each map of one connection.
   */
  epoch: number;
  slots: Slot[];
}
/**
 * One filled slot; a slot that is not named is empty.
 */
export interface Slot {
  /**
   * The section (`a=mid`) that carries it.
   */
  mid: string;
  /**
   * Whose it is; the roster says whose participation that is.
   */
  participation: ParticipationId;
  source: Source;
}
/**
 * Body of `POST <endpoint>/rtc/v1/join`; the token goes in `Authorization: Bearer`.
 */
export interface JoinRequest {
  profile: Profile;
  /**
   * What each offered section is for, by its `a=mid`: camera against screen is not visible in SDP. A section that is
   * not named (the data channel's) has no purpose.
   */
  purposes: {
    [k: string]: Purpose;
  };
  /**
   * The one SDP offer of this stay.
   */
  sdp: string;
}
