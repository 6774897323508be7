/**
 * Documents of the wire under the names that the SDK uses. This is the one place that knows of both: what is generated,
 * sent and stored has the wire's names (`ring_until_ms`), everything else those of TypeScript (`ringUntilMs`).
 */

import type * as wire from "./generated/signalling.ts";

/** Words, and the documents of the media path, which nothing maps: they are sent and read with the wire's names. */
export type {
  CallResult,
  Direction,
  EndReason,
  InvitationId,
  JoinAnswer,
  JoinRequest,
  Media,
  MeetingId,
  MemberState,
  ParticipationId,
  Presence,
  Profile,
  Purpose,
  RefusalCode,
  RejectReason,
  SignalId,
  Slot,
  SlotMap,
  Source,
  Track,
  UserName,
} from "./generated/signalling.ts";

type CamelKey<K extends string> = K extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<CamelKey<Tail>>}` : K;

/** The type of a document after {@link fromWire}. */
export type CamelCase<T> = T extends readonly (infer Item)[]
  ? CamelCase<Item>[]
  : T extends object
    ? { [K in keyof T as K extends string ? CamelKey<K> : K]: CamelCase<T[K]> }
    : T;

export type Contact = CamelCase<wire.Contact>;
export type Down = CamelCase<wire.Down>;
export type Joinable = CamelCase<wire.Joinable>;
export type JoinParameters = CamelCase<wire.JoinParameters>;
export type Member = CamelCase<wire.Member>;
export type Outcome = CamelCase<wire.Outcome>;
export type PastCall = CamelCase<wire.PastCall>;
export type Person = CamelCase<wire.Person>;
export type Ring = CamelCase<wire.Ring>;
export type Roster = CamelCase<wire.Roster>;
export type RosterChange = CamelCase<wire.RosterChange>;
export type StandingCall = CamelCase<wire.StandingCall>;
export type State = CamelCase<wire.State>;
export type Up = CamelCase<wire.Up>;

/** What a request says, without its envelope. */
export type UpBody = CamelCase<wire.Up1>;
/** What a signal of the service says, without its envelope. */
export type DownBody = CamelCase<wire.Down1>;

/** A signal of the service of one type. */
export type DownOf<T extends DownBody["type"]> = Extract<Down, { type: T }>;

/** A parsed document, its names turned into those of the SDK; names that are so already stay. */
export function fromWire(document: unknown): unknown {
  return renamed(document, (name) => name.replace(/_([a-z0-9])/g, (_, first: string) => first.toUpperCase()));
}

/** A document with the names that the wire and the disk have for it. */
export function toWire(document: unknown): unknown {
  return renamed(document, (name) => name.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`));
}

function renamed(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [rename(name), renamed(field, rename)]));
}
