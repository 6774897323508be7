/** The live calls of a device: takes signals to the call that they are about, and makes calls of rings and of what stands. */

import { Call, type CallServices } from "./call/call.ts";
import { incoming, outgoing, resumed } from "./call/state.ts";
import { ConvokeError } from "./core/errors.ts";
import { uuidv7 } from "./core/ids.ts";
import type { RingStop } from "./ring/rules.ts";
import type { Requests } from "./signalling/requests.ts";
import type { Down, InvitationId, JoinParameters, Media, MeetingId, Ring, StandingCall, UserName } from "./wire.ts";

export interface CallsShell {
  requests: Requests;
  me(): UserName;
  now_ms(): number;
  declined(invitation: InvitationId): Promise<void>;
  /** This ring has its answer, whatever came of it. */
  settled(invitation: InvitationId): void;
  began(call: Call): void;
  rings(call: Call): void;
}

export class Calls {
  readonly #shell: CallsShell;
  readonly #byMeeting = new Map<MeetingId, Call>();

  constructor(shell: CallsShell) {
    this.#shell = shell;
  }

  all(): Call[] {
    return [...this.#byMeeting.values()];
  }

  create(callees: UserName[], media: Media, title: string | undefined): Call {
    const call = this.#adopt(new Call(outgoing(this.#shell.me(), uuidv7(), callees, media), this.#services()));
    this.#shell.began(call);
    void call.openDevices(media === "video" ? ["microphone", "camera"] : ["microphone"]);
    this.#shell.requests.ask({ type: "create", callees, media, title }, call.meeting).then(
      (answer) => this.#created(call, answer),
      (error) => this.#notCreated(call, error),
    );
    return call;
  }

  /** Takes a signal of `meeting-down`, or the end of a ring, to its call. */
  signal(down: Down): void {
    const call = this.#byMeeting.get(down.meeting ?? "");
    const answered = this.#shell.requests.answer(down);
    const refused = down.type === "refused" && call?.state.phase === "accepting";
    if ((down.type === "admitted" || refused) && call?.invitation) this.#shell.settled(call.invitation);
    if (!answered || (down.type !== "admitted" && down.type !== "refused")) call?.signal(down);
  }

  ring(ring: Ring): void {
    const known = this.#byMeeting.get(ring.meeting);
    if (known) return known.apply({ type: "local_roster", roster: ring.roster });
    const call = this.#adopt(new Call(incoming(this.#shell.me(), ring), this.#services(), ring));
    this.#shell.rings(call);
    void this.#shell.requests.tell({ type: "ringing", invitation: ring.invitation }, ring.meeting).catch(() => {});
    call.warm();
  }

  stopRing(invitation: InvitationId, reason: RingStop): void {
    const call = this.all().find((other) => other.invitation === invitation);
    if (!call || reason.why === "admitted" || reason.why === "declined") return;
    if (reason.why === "ended") return call.signal(reason.signal);
    const missed = reason.why === "deadline" || (reason.why === "gone" && reason.missed);
    // Whose accept has no answer, and who is neither rung nor in the call by the state, has missed how it ended.
    const unanswered = call.state.phase === "accepting" && reason.why === "gone";
    if (call.state.phase !== "incoming" && !unanswered) return;
    call.apply({ type: "local_end", end: { reason: missed ? "no_answer" : "failed" } });
  }

  /** Holds the calls against the state answer to a question of `asked_at_ms`, by this device's clock. */
  standing(here: StandingCall | undefined, asked_at_ms: number): void {
    for (const call of this.all()) {
      const old = call.state.admitted && call.admitted_at_ms < asked_at_ms;
      if (old && call.meeting !== here?.meeting) call.apply({ type: "local_end", end: { reason: "failed" } });
    }
    if (!here) return;
    const known = this.#byMeeting.get(here.meeting);
    if (known) known.goOn(here);
    else this.#resume(here);
  }

  /** This device is another tab now: the calls go on there. */
  takenOver(): void {
    for (const call of this.all()) call.apply({ type: "local_end", end: { reason: "answered_elsewhere" } });
  }

  signalling(state: "up" | "down"): void {
    for (const call of this.all()) call.apply({ type: "local_signalling", signalling: state });
  }

  hint(): void {
    for (const call of this.all()) call.hint();
  }

  #resume(here: StandingCall): void {
    const call = this.#adopt(new Call(resumed(this.#shell.me(), here), this.#services()));
    const { audio, video } = call.state.muted;
    this.#shell.began(call);
    void call.openDevices([...(audio ? [] : (["microphone"] as const)), ...(video ? [] : (["camera"] as const))]);
    call.goOn(here);
  }

  #created(call: Call, answer: Down): void {
    if (answer.type !== "admitted") return;
    const meeting = answer.meeting ?? call.meeting;
    if (meeting !== call.meeting) this.#crossed(call, meeting);
    call.signal(answer);
  }

  /** Nobody knows whether the service will still handle the request: an early cancel is remembered there. */
  #notCreated(call: Call, error: unknown): void {
    const typed = error instanceof ConvokeError ? error : new ConvokeError("server_unreachable", undefined, error);
    call.apply({ type: "local_end", end: { reason: "refused", error: typed } });
    if (typed.category === "refused") return;
    void this.#shell.requests.tell({ type: "cancel" }, call.meeting).catch(() => {});
  }

  /** Two people who call each other meet in the first one's meeting: this call becomes that one. */
  #crossed(call: Call, meeting: MeetingId): void {
    const ringing = this.#byMeeting.get(meeting);
    if (ringing?.invitation) this.#shell.settled(ringing.invitation);
    ringing?.apply({ type: "local_end", end: { reason: "answered_elsewhere" } });
    this.#byMeeting.delete(call.meeting);
    this.#byMeeting.set(meeting, call);
  }

  #adopt(call: Call): Call {
    this.#byMeeting.set(call.meeting, call);
    call.on("state", ({ phase }) => {
      if (phase === "ended" && this.#byMeeting.get(call.meeting) === call) this.#byMeeting.delete(call.meeting);
    });
    return call;
  }

  #services(): CallServices {
    return {
      tell: (body, meeting) => this.#shell.requests.tell(body, meeting),
      join: (meeting) => this.#join(meeting),
      declined: (invitation) => this.#shell.declined(invitation),
      now_ms: () => this.#shell.now_ms(),
    };
  }

  async #join(meeting: MeetingId): Promise<JoinParameters> {
    const answer = await this.#shell.requests.ask({ type: "join" }, meeting);
    if (answer.type !== "admitted") throw new ConvokeError("no_answer_from_service", "join");
    return answer.join;
  }
}
