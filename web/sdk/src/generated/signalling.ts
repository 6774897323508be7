/* Made from crates/signalling/signalling.schema.json by `npm run types`. Do not edit. */

/**
 * A signal of the service, on `ring-down/p2p/<clientId>/<type>` or `meeting-down/p2p/<clientId>/<type>`.
 */
export type Down = {
  /**
   * Milliseconds since 1970 by the service's clock; a request about a meeting that arrives later is refused. `state`,
   * `contacts` and `seen` are handled whenever they come: a terminal learns that clock from the answer to `state`.
   */
  expires_at_ms: number;
  id: SignalId;
  in_reply_to?: SignalId | null;
  /**
   * Absent only where a signal is about no meeting (`state`, `contacts` and their answers).
   */
  meeting?: MeetingId | null;
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
 * One signal. A request is handled once per id, however often it is delivered (UUIDv7, RFC 9562).
 */
export type SignalId = string;
/**
 * One meeting; made by the terminal that creates it, refused if taken (UUIDv7).
 */
export type MeetingId = string;
export type Down1 =
  | (Ring & {
      type: "invitation";
    })
  | {
      /**
       * Who ended it, where a person did.
       */
      by?: UserName | null;
      invitation?: InvitationId | null;
      /**
       * Present when the user has missed a call by this.
       */
      outcome?: Outcome | null;
      reason: EndReason;
      rev: number;
      type: "ended";
      /**
       * On `meeting-down` only: the callee whose ring is over. Absent: the meeting is over for the receiver.
       */
      user?: UserName | null;
    }
  | {
      invitation: InvitationId;
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
       * The thing, the cause and the remedy in English.
       */
      words: string;
    }
  | {
      type: "waiting";
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
  | {
      by: UserName;
      track: Track;
      type: "muted";
    }
  | {
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
    };
/**
 * The account that owns devices: 1 to 64 characters of `[A-Za-z0-9_.@+-]`.
 */
export type UserName = string;
/**
 * One ring of one callee: one per user and ring, never used again (UUIDv7). It is the collapse key.
 */
export type InvitationId = string;
/**
 * The media resource at the RTC server; the meeting's id as text.
 */
export type ChannelId = string;
/**
 * One stay of one client in a channel (UUIDv7).
 */
export type ParticipationId = string;
/**
 * The fixed number of receive slots of one media connection.
 */
export type Profile = "call" | "meeting" | "large";
export type Media = "audio" | "video";
export type MemberState = ("ringing" | "in") | "invited" | "joining" | "lost";
export type OutcomeKind = "missed" | "missed_busy";
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
export type RefusalCode =
  ("expired" | "not_member" | "not_host" | "already_in_call" | "limit") | "invalid" | "not_allowed" | "taken";
export type RejectReason = "declined" | "busy";
export type Track = "audio" | "video";
export type Presence = "online" | "in_call" | "offline";
export type Source = "microphone" | "camera" | "screen";
/**
 * What an offered m-line is for.
 */
export type Purpose = "microphone" | "camera" | "screen" | "audio_slot" | "video_slot";
/**
 * A request of a terminal, on `meeting-up/<type>`.
 */
export type Up = {
  /**
   * Milliseconds since 1970 by the service's clock; a request about a meeting that arrives later is refused. `state`,
   * `contacts` and `seen` are handled whenever they come: a terminal learns that clock from the answer to `state`.
   */
  expires_at_ms: number;
  id: SignalId;
  in_reply_to?: SignalId | null;
  /**
   * Absent only where a signal is about no meeting (`state`, `contacts` and their answers).
   */
  meeting?: MeetingId | null;
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
      callees: UserName[];
      media: Media;
      /**
       * Shown to the callees.
       */
      title?: string | null;
      type: "create";
    }
  | {
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
       * 0 = may come back at once.
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
  from: UserName;
  from_name: string;
  invitation: InvitationId;
  /**
   * Token waiting: the media path may be warmed while it rings.
   */
  join: JoinParameters;
  media: Media;
  meeting: MeetingId;
  /**
   * Rises with each transaction of the meeting; a lower one than the last seen for this invitation is ignored.
   */
  rev: number;
  /**
   * Past this moment (service's clock) no ring may begin, it is missed. One that began before goes on until the
   * service ends it.
   */
  ring_until_ms: number;
  roster: Roster;
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
   * Base addresses of join doors (`https://host:8443`), best first; the terminal posts to `<endpoint>/rtc/v1/join`.
   */
  endpoints: string[];
  participation: ParticipationId;
  profile: Profile;
  /**
   * JWT (EdDSA) with [`JoinClaims`]; a callee's is *waiting* until its accept is decided.
   */
  token: string;
  turn?: TurnServer[];
  user: UserName;
}
/**
 * A TURN server that the operator named.
 */
export interface TurnServer {
  credential: string;
  urls: string[];
  username: string;
}
/**
 * Who is in the meeting and who is being rung.
 */
export interface Roster {
  host?: UserName | null;
  members: Member[];
  rev: number;
}
export interface Member {
  /**
   * By the host.
   */
  blocked?: Muted;
  muted?: Muted;
  name: string;
  /**
   * Present for whoever has been admitted.
   */
  participation?: ParticipationId | null;
  state: MemberState;
  user: UserName;
}
export interface Muted {
  audio?: boolean;
  video?: boolean;
}
/**
 * A call that the user has missed and not seen yet.
 */
export interface Outcome {
  at_ms: number;
  from: UserName;
  from_name: string;
  invitation: InvitationId;
  kind: OutcomeKind;
  media: Media;
  meeting: MeetingId;
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
  name: string;
  /**
   * The service's clock, milliseconds since 1970: terminals correct theirs by it.
   */
  now_ms: number;
  outcomes: Outcome[];
  /**
   * Calls that still ring for this user.
   */
  rings: Ring[];
  user: UserName;
}
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
export interface Contact {
  name: string;
  presence: Presence;
  /**
   * When `offline`: since when, milliseconds since 1970; absent if never seen.
   */
  since_ms?: number | null;
  user: UserName;
}
/**
 * Answer of the join door.
 */
export interface JoinAnswer {
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
  epoch: number;
  slots: Slot[];
}
/**
 * One filled slot; a slot that is not named is empty.
 */
export interface Slot {
  mid: string;
  participation: ParticipationId;
  source: Source;
}
/**
 * Body of `POST <endpoint>/rtc/v1/join`; the token goes in `Authorization: Bearer`.
 */
export interface JoinRequest {
  profile: Profile;
  /**
   * Offered mid → purpose; camera against screen is not visible in SDP.
   */
  purposes: {
    [k: string]: Purpose;
  };
  /**
   * The one SDP offer of this stay.
   */
  sdp: string;
}
