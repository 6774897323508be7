/** Convoke for browsers: calls that always ring. See `client.ts` for the first lines to write. */

export { Call, type CallEvents } from "./call/call.ts";
export type { RosterNews } from "./call/roster-changes.ts";
export {
  type CallEnd,
  type CallPhase,
  type CallState,
  isHost,
  isIn,
  type PathState,
  type Progress,
  progressOf,
  self,
  type Tracks,
} from "./call/state.ts";
export {
  Client,
  type ClientEvents,
  type ClientOptions,
  type ClientState,
  createClient,
  type History,
} from "./client.ts";
export { ConvokeError, type ErrorCategory, type ErrorCode } from "./core/errors.ts";
export { Login, Logins, type RememberedLogin } from "./login/logins.ts";
export { accountKey, type Credentials, type CredentialsDocument, login } from "./login/requests.ts";
export type { Device } from "./media/capture.ts";
export type { MqttConnect } from "./signalling/mqtt.ts";
export type {
  CallResult,
  Contact,
  Direction,
  EndReason,
  Joinable,
  Media,
  Member,
  MemberState,
  Outcome,
  ParticipationId,
  PastCall,
  Person,
  Presence,
  Roster,
  StandingCall,
  Track,
  UserName,
} from "./wire.ts";
