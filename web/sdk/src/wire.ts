/** The generated wire types under the names that the SDK uses. */

import type { Down, Down1, Up1 } from "./generated/signalling.ts";

export type {
  CallResult,
  Contact,
  Direction,
  Down,
  EndReason,
  InvitationId,
  JoinAnswer,
  Joinable,
  JoinParameters,
  JoinRequest,
  Media,
  MeetingId,
  Member,
  MemberState,
  Outcome,
  ParticipationId,
  PastCall,
  Person,
  Presence,
  Profile,
  Purpose,
  RefusalCode,
  RejectReason,
  Ring,
  Roster,
  RosterChange,
  SignalId,
  Slot,
  SlotMap,
  Source,
  StandingCall,
  State,
  Track,
  Up,
  UserName,
} from "./generated/signalling.ts";

/** What a request says, without its envelope. */
export type UpBody = Up1;
/** What a signal of the service says, without its envelope. */
export type DownBody = Down1;

/** A signal of the service of one type. */
export type DownOf<T extends DownBody["type"]> = Extract<Down, { type: T }>;
