/** The live calls of a device: signals go to the call that they are about, rings and standing calls become calls. */

import { Call, type CallContext } from "./call/call.ts";
import { incoming, outgoing, resumed, returning } from "./call/state.ts";
import { LOCAL } from "./core/clock.ts";
import { ConvokeError } from "./core/errors.ts";
import { uuidv7 } from "./core/ids.ts";
import type { RingStop } from "./ring/rules.ts";
import type { Requests } from "./signalling/requests.ts";
import type {
  Down,
  DownOf,
  InvitationId,
  Joinable,
  JoinParameters,
  Media,
  MeetingId,
  Ring,
  Roster,
  StandingCall,
  UpBody,
  UserName,
} from "./wire.ts";

/** What the calls need of their client, and tell it. */
export interface CallsContext {
  requests: Requests;
  me(): UserName;
  nowMs(): number;
  isUp(): boolean;
  declined(invitation: InvitationId): Promise<void>;
  /** The service has decided about the answer that this ring was given here. */
  decided(invitation: InvitationId): void;
  began(call: Call): void;
  rings(call: Call): void;
  /** There is a call or a ring, or none any more. */
  engaged(engaged: boolean): void;
  /** Nothing comes in on a media path any more, or something does again. */
  receiving(isReceiving: boolean): void;
}

/** Calls that were left here and may still be known to the service; the oldest are forgotten first. */
const LEFT_MAX = 100;

export class Calls {
  readonly #context: CallsContext;
  readonly #byMeeting = new Map<MeetingId, Call>();
  /** When each was left, by this device's monotonic clock. */
  readonly #left = new Map<MeetingId, number>();
  /** Left here, and not yet confirmed by the service. */
  readonly #leaving = new Map<MeetingId, Call>();

  constructor(context: CallsContext) {
    this.#context = context;
  }

  all(): Call[] {
    return [...this.#byMeeting.values()];
  }

  create(callees: UserName[], media: Media, title: string | undefined): Call {
    const call = this.#adopt(new Call(outgoing(this.#context.me(), uuidv7(), callees, media), this.#callContext()));
    if (!this.#context.isUp()) call.signalling("down");
    this.#context.began(call);
    void call.openDevices(media === "video" ? ["microphone", "camera"] : ["microphone"]);
    // What is asked from its connection on, and no earlier, may be expected to know of it.
    const posted = () => call.markChanged();
    this.#context.requests.ask({ type: "create", callees, media, title }, call.meeting, posted).then(
      (answer) => this.#created(call, answer),
      (error) => this.#notCreated(call, error),
    );
    return call;
  }

  /** Takes a signal of `meeting-down`, or the end of a ring, to its call. */
  signal(down: Down): void {
    const call = this.#byMeeting.get(down.meeting ?? "");
    if (down.type === "ended" && !down.user) this.#leftConfirmed(down.meeting ?? "");
    const { isDone, request } = this.#context.requests.answer(down);
    if (call?.invitation && isAnswerTo(call, down, isDone, request)) this.#context.decided(call.invitation);
    if (!isDone || (down.type !== "admitted" && down.type !== "refused")) call?.signal(down, request);
  }

  /** Of the roster that is known of this meeting; 0 if none is. */
  rosterRev(meeting: MeetingId | null | undefined): number {
    return this.#byMeeting.get(meeting ?? "")?.state.roster.rev ?? 0;
  }

  /** Comes back to a meeting that goes on without this user. */
  rejoin(joinable: Joinable, video: boolean): Call {
    const call = this.#adopt(new Call(returning(this.#context.me(), joinable), this.#callContext()));
    this.#leaveOthersFor(call);
    this.#context.began(call);
    call.apply({ type: "local_mute", track: "video", muted: !video });
    void call.openDevices(video ? ["microphone", "camera"] : ["microphone"]);
    this.#context.requests.ask({ type: "join" }, call.meeting).then(
      (answer) => call.signal(answer),
      (error) => this.#notBack(call, error),
    );
    return call;
  }

  ring(ring: Ring): void {
    const known = this.#byMeeting.get(ring.meeting);
    if (known) return known.confirmRinging(ring, (type) => this.#context.requests.isResending(type, ring.meeting));
    const call = this.#adopt(new Call(incoming(this.#context.me(), ring), this.#callContext(), ring));
    this.#context.rings(call);
    call.sendRinging();
    call.warm();
  }

  stopRing(invitation: InvitationId, reason: RingStop): void {
    const call = this.all().find((other) => other.invitation === invitation);
    if (!call || reason.type === "admitted" || reason.type === "declined") return;
    // Where a ring has become a call, its end says nothing of that one.
    if (reason.type === "ended") return call.state.admitted ? undefined : call.signal(reason.signal);
    const missed = reason.type === "deadline" || (reason.type === "gone" && reason.missed);
    // An accept without an answer, of a call that the state does not know: how it ended has been missed.
    const unanswered = call.state.phase === "accepting" && reason.type === "gone";
    if (call.state.phase !== "incoming" && !unanswered) return;
    call.apply({ type: "local_end", end: { reason: missed ? "no_answer" : "failed" } });
  }

  /**
   * Holds the calls against the state answer to a question of `askedAtMs`, by this device's monotonic clock. The
   * service takes the requests of one user in their order: the answer knows of everything before its question and of
   * nothing after it.
   */
  reconcile(standing: StandingCall | undefined, askedAtMs: number): void {
    const here = standing?.here ? standing : undefined;
    const isResending = ({ meeting }: Call) => this.#context.requests.isResending("create", meeting);
    const isJudged = (call: Call) => call.changedAtMs < askedAtMs && isUnderWay(call) && !isResending(call);
    const earlier = this.all().filter(isJudged);
    const glaring = here && !this.#isIn(here.meeting) && earlier.find(({ state }) => !state.admitted);
    if (glaring && glaring.meeting !== here.meeting) this.#followGlare(glaring, here.meeting);
    for (const call of earlier) {
      if (call !== glaring && call.meeting !== here?.meeting) this.#unknown(call, standing);
    }
    if (here) this.#standsHere(here, askedAtMs);
  }

  /** Nothing rings and no call goes on here any more, whatever the service says. */
  end(reason: "answered_elsewhere" | "failed" | "left"): void {
    for (const call of this.all()) call.apply({ type: "local_end", end: { reason } });
  }

  signalling(state: "up" | "down"): void {
    for (const call of this.all()) call.signalling(state);
  }

  retryNow(): void {
    for (const call of this.all()) call.retryNow();
  }

  /** The page goes away, or is suspended: the calls stand, their media paths do not. */
  suspend(): void {
    for (const call of this.all()) call.suspend();
  }

  #isIn(meeting: MeetingId): boolean {
    return this.#byMeeting.get(meeting)?.state.admitted === true;
  }

  /**
   * The service does not know it any more. A create is taken back: one that could not be decided at once must not
   * ring now. In a call here it is not taken back: that may be the one that this create became by glare.
   */
  #unknown(call: Call, standing: StandingCall | undefined): void {
    const reason = call.meeting === standing?.meeting ? "answered_elsewhere" : "failed";
    const { admitted } = call.state;
    call.apply({ type: "local_end", end: { reason } });
    if (!admitted && !standing?.here) this.#takeBack(call);
  }

  #takeBack(call: Call): void {
    void this.#context.requests.send({ type: "cancel" }, call.meeting).catch(() => {});
  }

  #standsHere(here: StandingCall, askedAtMs: number): void {
    const known = this.#byMeeting.get(here.meeting);
    const leftAtMs = this.#left.get(here.meeting);
    if (known) return known.resume(here);
    if (leftAtMs === undefined) return this.#resume(here);
    // A call that was left is not resumed, and the service is told again if it should know by now.
    if (leftAtMs < askedAtMs) void this.#context.requests.send({ type: "leave" }, here.meeting).catch(() => {});
  }

  #resume(here: StandingCall): void {
    const call = this.#adopt(new Call(resumed(this.#context.me(), here), this.#callContext()));
    const { audio, video } = call.state.muted;
    this.#context.began(call);
    void call.openDevices([...(audio ? [] : (["microphone"] as const)), ...(video ? [] : (["camera"] as const))]);
    call.resume(here);
  }

  #created(call: Call, answer: Down): void {
    if (answer.type !== "admitted") return;
    const meeting = answer.meeting ?? call.meeting;
    if (call.state.end?.reason === "met") return this.#gaveWay(call, answer);
    if (meeting !== call.meeting) this.#followGlare(call, meeting);
    call.signal(answer);
  }

  /** The answer to the create of a call that ended for the ring of its callee: admitted to the callee's meeting, or to its own. */
  #gaveWay(call: Call, answer: DownOf<"admitted">): void {
    const { meeting } = answer;
    if (meeting === call.meeting) void this.#context.requests.send({ type: "leave" }, call.meeting).catch(() => {});
    else this.#byMeeting.get(meeting ?? "")?.signal(answer);
  }

  /**
   * A call that is being made to the very person whose ring is answered becomes that call at the service. To leave it
   * would be to leave the one that was answered.
   */
  #leaveOthersFor(answered: Call): void {
    const from = answered.state.from?.user;
    for (const call of this.all()) {
      if (call === answered || call.state.phase === "incoming") continue;
      const { admitted, phase, progress, me } = call.state;
      const callees = Object.keys(progress);
      const isGlare = phase === "calling" && !admitted && callees.length === 1 && callees[0] === from;
      if (isGlare) call.apply({ type: "local_end", end: { reason: "met", by: me } });
      else void call.leave();
    }
  }

  /**
   * The service may still handle the request: an early cancel is remembered there. A state answer may
   * have told how the call stands before.
   */
  #notCreated(call: Call, error: unknown): void {
    if (call.state.admitted || call.state.phase === "ended") return;
    const typed = asTyped(error);
    call.apply({ type: "local_end", end: { reason: "refused", error: typed } });
    if (typed.category !== "refused") this.#takeBack(call);
  }

  /** The service may still handle the request. */
  #notBack(call: Call, error: unknown): void {
    if (call.state.admitted || call.state.phase === "ended") return;
    const typed = asTyped(error);
    call.apply({ type: "local_end", end: { reason: "refused", error: typed } });
    if (typed.category !== "refused") void this.#context.requests.send({ type: "leave" }, call.meeting).catch(() => {});
  }

  /** Glare: of two people who call each other at the same time, the meeting of the first stands: this call becomes that one. */
  #followGlare(call: Call, meeting: MeetingId): void {
    const ringing = this.#byMeeting.get(meeting);
    if (ringing?.invitation) this.#context.decided(ringing.invitation);
    ringing?.apply({ type: "local_end", end: { reason: "met" } });
    this.#byMeeting.delete(call.meeting);
    this.#byMeeting.set(meeting, call);
  }

  #adopt(call: Call): Call {
    this.#byMeeting.set(call.meeting, call);
    this.#context.engaged(true);
    this.#left.delete(call.meeting);
    call.on("state", ({ phase, end, me }) => {
      if (phase !== "ended" || this.#byMeeting.get(call.meeting) !== call) return;
      this.#byMeeting.delete(call.meeting);
      this.#context.engaged(this.#byMeeting.size > 0);
      if (end?.by === me && end.reason !== "answered_elsewhere" && end.reason !== "met") this.#remember(call);
    });
    return call;
  }

  #remember(call: Call): void {
    this.#left.set(call.meeting, LOCAL.monotonicMs());
    this.#leaving.set(call.meeting, call);
    const [oldest] = this.#left.keys();
    if (oldest === undefined || this.#left.size <= LEFT_MAX) return;
    this.#left.delete(oldest);
    this.#leaving.delete(oldest);
  }

  #leftConfirmed(left: MeetingId): void {
    this.#leaving.get(left)?.leftConfirmed();
    this.#leaving.delete(left);
  }

  #callContext(): CallContext {
    return {
      send: (body, meeting) => this.#context.requests.send(body, meeting),
      join: (meeting) => this.#join(meeting),
      roster: (meeting) => this.#roster(meeting),
      leaveOthersFor: (call) => this.#leaveOthersFor(call),
      declined: (invitation) => this.#context.declined(invitation),
      receiving: (isReceiving) => this.#context.receiving(isReceiving),
      nowMs: () => this.#context.nowMs(),
    };
  }

  async #join(meeting: MeetingId): Promise<JoinParameters> {
    const answer = await this.#context.requests.ask({ type: "join" }, meeting);
    if (answer.type !== "admitted") throw new ConvokeError("no_answer_from_service", "join");
    return answer.join;
  }

  async #roster(meeting: MeetingId): Promise<Roster> {
    const answer = await this.#context.requests.ask({ type: "roster" }, meeting);
    if (answer.type !== "roster") throw new ConvokeError("no_answer_from_service", "roster");
    return answer;
  }
}

/** Whether a signal says what has come of the accept of a ring; one that was refused as expired is sent again. */
function isAnswerTo({ state }: Call, down: Down, isDone: boolean, request: UpBody["type"] | undefined): boolean {
  if (down.type === "admitted") return true;
  if (down.type !== "refused" || isDone || down.code === "expired") return false;
  return state.phase === "accepting" && (request ?? "accept") === "accept";
}

function asTyped(error: unknown): ConvokeError {
  return error instanceof ConvokeError ? error : new ConvokeError("server_unreachable", undefined, error);
}

/** Made here, or entered; calls that still ring are decided by the rings of the state answer. */
function isUnderWay({ state }: Call): boolean {
  return state.phase === "calling" || state.phase === "joined";
}
