/** Signals of the service, made of the words of a script. */

import type { Down, Member } from "../../src/generated/signalling.ts";
import type { Json, Step } from "./script.ts";

/** The real ids behind the short names, and what was said of each invitation last. */
export class Names {
  readonly #ids = new Map<string, string>();
  readonly #names = new Map<string, string>();
  readonly #invitations = new Map<string, Step>();
  readonly #me: string;
  #last = 0;

  constructor(me: string) {
    this.#me = me;
  }

  id(name: string): string {
    const known = this.#ids.get(name);
    if (known) return known;
    const id = this.newId();
    this.bind(name, id);
    return id;
  }

  has(name: string): boolean {
    return this.#ids.has(name);
  }

  bind(name: string, id: string): void {
    this.#ids.set(name, id);
    this.#names.set(id, name);
  }

  newId(): string {
    this.#last += 1;
    return `00000000-0000-7000-8000-${this.#last.toString(16).padStart(12, "0")}`;
  }

  /** With the short names in place of ids. */
  inNames(value: Json): Json {
    if (typeof value === "string") return this.#names.get(value) ?? value;
    if (Array.isArray(value)) return value.map((item) => this.inNames(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, this.inNames(field)]));
  }

  /** The message of a step at this moment of the service's clock. */
  down(step: Step, nowMs: number): Down {
    const type = text(step, "signal");
    const body = this.#body(type, step, nowMs);
    const onRingDown = "invitation" in body;
    const hasRevision = "rev" in step || !["state", "refused", "seen"].includes(type);
    return {
      rev: hasRevision ? number(step, "rev", 1) : null,
      ...body,
      v: 1,
      type,
      id: typeof step.id === "string" ? this.id(step.id) : this.newId(),
      meeting: typeof step.meeting === "string" ? this.id(step.meeting) : (body.meeting ?? null),
      in_reply_to: typeof step.to === "string" ? this.id(step.to) : null,
      sent_at_ms: nowMs - number(step, "sent_ago_ms", 0),
      expires_at_ms: nowMs + number(step, "expires_in_ms", onRingDown ? 45_000 : 20_000),
    } as unknown as Down;
  }

  #body(type: string, step: Step, nowMs: number): Step {
    switch (type) {
      case "invitation":
        return this.#ring(step, nowMs, false);
      case "ended":
        return this.#ended(step, nowMs);
      case "seen":
        return { invitation: this.id(text(step, "invitation")), rev: number(step, "rev", 1) };
      case "admitted":
        return { join: this.#join(this.id(text(step, "meeting"))), roster: this.#roster(step) };
      case "roster":
        return this.#roster(step);
      case "roster_changed":
        return this.#rosterChanged(step);
      case "refused":
        return { code: step.code ?? null, words: "no" };
      case "state":
        return this.#state(step, nowMs);
      case "waiting":
        return { user: text(step, "user"), until_ms: nowMs + 45_000 };
      case "muted":
      case "blocked":
      case "unmute_asked":
      case "ringing":
      case "accepted":
      case "busy":
      case "rejected":
        return picked(step, ["track", "by", "blocked", "user", "reason"]);
      default:
        throw new Error(`there is no signal ${type}`);
    }
  }

  #ring(given: Step, nowMs: number, ringing: boolean): Step {
    const name = text(given, "invitation");
    const fields: Step = { ...this.#invitations.get(name), ...given };
    if ("rings_for_ms" in given || !("until_ms" in fields))
      fields.until_ms = nowMs + number(fields, "rings_for_ms", 45_000);
    this.#invitations.set(name, fields);
    const meeting = this.id(text(fields, "meeting"));
    return {
      invitation: this.id(name),
      rev: number(fields, "rev", 1),
      meeting,
      from: text(fields, "from"),
      from_name: text(fields, "from"),
      media: fields.media ?? "video",
      ring_until_ms: number(fields, "until_ms", 0),
      join: this.#join(meeting),
      ringing: given.ringing ?? ringing,
      members: 1,
      names: [],
    };
  }

  #ended(step: Step, nowMs: number): Step {
    const rev = number(step, "rev", 1);
    const said = { rev, ...picked(step, ["reason", "user", "by"]) };
    if (typeof step.invitation !== "string") return said;
    if (!this.#invitations.has(step.invitation)) this.#invitations.set(step.invitation, step);
    const outcome = step.missed === true ? this.#outcome(step.invitation, rev, nowMs) : null;
    return { ...said, invitation: this.id(step.invitation), outcome };
  }

  #outcome(name: string, rev: number | undefined, nowMs: number): Step {
    const { from = "alice", meeting = "m1", rev: last = 1 } = this.#invitations.get(name) ?? {};
    return {
      invitation: this.id(name),
      meeting: this.id(String(meeting)),
      rev: rev ?? Number(last) + 1,
      from,
      from_name: from,
      media: "video",
      kind: "missed",
      at_ms: nowMs,
    };
  }

  #roster(step: Step): Step {
    const users = list(step, "users").map(String);
    const host = users.find((user) => !/ (ringing|invited)/.test(user))?.split(" ")[0] ?? null;
    return { rev: number(step, "rev", 1), host, members: users.map((user) => this.#member(user)) as unknown as Json };
  }

  #rosterChanged(step: Step): Step {
    const members = list(step, "users").map((user) => this.#member(String(user))) as unknown as Json;
    const gone = list(step, "gone");
    return { base: number(step, "base", 0), rev: number(step, "rev", 1), host: step.host ?? "alice", members, gone };
  }

  #member(said: string): Member {
    const [user = "", ...words] = said.split(" ");
    const member: Member = { user, name: user, state: "in" };
    while (words.length > 0) {
      const word = words.shift();
      if (word === "muted" || word === "blocked") member[word] = { ...member[word], [String(words.shift())]: true };
      else member.state = word as Member["state"];
    }
    const isRung = member.state === "ringing" || member.state === "invited";
    if (!isRung) member.participation = this.id(`participation of ${user}`);
    return member;
  }

  #state(step: Step, nowMs: number): Step {
    const rings = list(step, "rings").map((ring) => this.#ring(named(ring, "invitation"), nowMs, true));
    const outcomes = list(step, "outcomes").map((outcome) => {
      const { invitation, rev } = named(outcome, "invitation");
      return this.#outcome(String(invitation), rev as number | undefined, nowMs);
    });
    const joinable = list(step, "joinable").map((joinable) => {
      const { meeting, rev = 1 } = named(joinable, "meeting");
      return { meeting: this.id(String(meeting)), rev, media: "video", members: 2 };
    });
    const now = nowMs - number(step, "read_ago_ms", 0);
    const call = step.call ? this.#standing(step.call as Step) : null;
    return {
      now_ms: now,
      user: this.#me,
      name: this.#me,
      rings,
      rings_left_out: step.left_out === true,
      call,
      joinable,
      outcomes,
    };
  }

  #standing(call: Step): Step {
    const meeting = this.id(text(call, "meeting"));
    const here = call.here !== false;
    return { meeting, media: "video", here, join: here ? this.#join(meeting) : null, roster: this.#roster(call) };
  }

  #join(meeting: string): Step {
    const participation = this.id("participation of me");
    return {
      endpoints: ["http://127.0.0.1:9"],
      app: "a",
      channel: meeting,
      user: this.#me,
      participation,
      token: "t",
      profile: "call",
    };
  }
}

export function text(step: Step, name: string): string {
  const value = step[name];
  if (typeof value !== "string") throw new Error(`${name} is missing`);
  return value;
}

export function number(step: Step, name: string, otherwise: number): number {
  return typeof step[name] === "number" ? step[name] : otherwise;
}

function list(step: Step, name: string): Json[] {
  return (step[name] ?? []) as Json[];
}

function named(item: Json, name: string): Step {
  return typeof item === "string" ? { [name]: item } : (item as Step);
}

function picked(step: Step, names: readonly string[]): Step {
  return Object.fromEntries(names.flatMap((name) => (step[name] === undefined ? [] : [[name, step[name]]])));
}
