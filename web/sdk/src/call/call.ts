/**
 * One call, as an application handles it. It says what it does to the service, shows what the service says back
 * (`state`), and keeps microphone, camera and the media path in step with it.
 */

import { LOCAL } from "../core/clock.ts";
import { Emitter } from "../core/emitter.ts";
import { ConvokeError, refusal } from "../core/errors.ts";
import { type Captured, capture, type Device } from "../media/capture.ts";
import { MediaSession } from "../media/session.ts";
import type {
  Down,
  DownOf,
  InvitationId,
  JoinParameters,
  MeetingId,
  ParticipationId,
  Ring,
  Roster,
  RosterChange,
  Source,
  StandingCall,
  Track,
  UpBody,
  UserName,
} from "../wire.ts";
import { type RosterNews, rosterChanges } from "./roster-changes.ts";
import { type CallEvent, type CallState, isGap, reduce } from "./state.ts";

/** What a call asks of its client. */
export interface CallContext {
  send(body: UpBody, meeting: MeetingId): Promise<void>;
  /** Fresh parameters for a member. */
  join(meeting: MeetingId): Promise<JoinParameters>;
  /** The roster as the service has it. */
  roster(meeting: MeetingId): Promise<Roster>;
  /** A device is in one call: leaves all others, or lets one that calls the same person become this one. */
  leaveOthersFor(call: Call): void;
  /** Stores that this ring was declined here, before the service is told. */
  declined(invitation: InvitationId): Promise<void>;
  /** Nothing comes in on the media path any more, or something does again. */
  receiving(isReceiving: boolean): void;
  nowMs(): number;
}

export interface CallEvents {
  state: CallState;
  /** Tracks of this side or another have come, gone or changed places. */
  media: undefined;
  roster: RosterNews[];
  /** A request failed, or a device could not be opened; the call goes on. */
  problem: { device?: Device; error: ConvokeError };
}

export class Call extends Emitter<CallEvents> {
  readonly invitation: InvitationId | undefined;
  /** @internal When it was made or this device was let in, by its monotonic clock: earlier questions do not know of that. */
  changedAtMs = LOCAL.monotonicMs();
  readonly #context: CallContext;
  readonly #session: MediaSession;
  readonly #own: Partial<Record<Device, MediaStreamTrack>> = {};
  #state: CallState;
  #warm: JoinParameters | undefined;
  /** An accept is on its way to the broker. */
  #answering = false;
  /** The roster is being asked for, since a change of it was missed. */
  #catchingUp = false;
  /** Of the latest change that could not be followed. */
  #missedRev = 0;
  /** Resolves when the service has confirmed that this call was left. */
  #left: Promise<void> | undefined;
  #confirmLeft = () => {};

  constructor(state: CallState, context: CallContext, ring?: Ring) {
    super();
    this.#state = state;
    this.#context = context;
    this.invitation = ring?.invitation;
    this.#warm = ring?.join;
    this.#session = new MediaSession({
      parameters: () => context.join(this.#state.meeting),
      path: (path, error) => this.apply({ type: "local_path", path, error }),
      changed: () => this.emit("media", undefined),
      receiving: (isReceiving) => context.receiving(isReceiving),
    });
  }

  get state(): CallState {
    return this.#state;
  }

  get meeting(): MeetingId {
    return this.#state.meeting;
  }

  /**
   * Answers a ring, and leaves the call that this device is in. `video` opens the camera too. Connected is what `state`
   * says, not this promise.
   */
  async accept({ video = this.#state.media === "video" } = {}): Promise<void> {
    if (this.#state.phase !== "incoming" || !this.invitation) return;
    this.#context.leaveOthersFor(this);
    this.apply({ type: "local_accept" });
    this.apply({ type: "local_mute", track: "video", muted: !video });
    await Promise.all([this.#answer(), this.openDevices(video ? ["microphone", "camera"] : ["microphone"])]);
  }

  /** Declines a ring. */
  async reject(): Promise<void> {
    if (this.#state.phase !== "incoming" || !this.invitation) return;
    await this.#context.declined(this.invitation);
    this.apply({ type: "local_end", end: { reason: "declined", by: this.#state.me } });
    await this.#send({ type: "reject", invitation: this.invitation, reason: "declined" });
  }

  /** Stops calling one person, or all who have not answered. */
  async cancel(user?: UserName): Promise<void> {
    await this.#send({ type: "cancel", callee: user });
  }

  /** Hangs up: leaves the call, or cancels it if no one has answered. */
  async leave(): Promise<void> {
    const alone = this.#state.phase === "calling";
    const sent = this.#send({ type: "leave" });
    this.#left = new Promise((resolve) => {
      this.#confirmLeft = resolve;
    });
    this.apply({ type: "local_end", end: { reason: alone ? "cancelled" : "left", by: this.#state.me } });
    await sent;
  }

  /** Ends the call for everybody; only the host may. */
  async destroy(): Promise<void> {
    await this.#send({ type: "destroy" });
  }

  /** Turns one's own microphone or camera off. */
  async mute(track: Track = "audio"): Promise<void> {
    this.apply({ type: "local_mute", track, muted: true });
    if (this.#state.admitted) await this.#send({ type: "mute", track });
  }

  /** Turns one's own microphone or camera on; opens the device if it is not open. */
  async unmute(track: Track = "audio"): Promise<void> {
    this.apply({ type: "local_mute", track, muted: false });
    this.apply({ type: "local_asked_answered", track });
    const device = DEVICE_BY_TRACK[track];
    if (!this.#own[device]) await this.openDevices([device]);
    if (this.#state.muted[track] || !this.#own[device]) return;
    if (this.#state.admitted) await this.#send({ type: "unmute", track });
  }

  /** Leaves the host's request to unmute unanswered. */
  dismissAsk(track: Track): void {
    this.apply({ type: "local_asked_answered", track });
  }

  /** Rings more people into the call. */
  async invite(...users: UserName[]): Promise<void> {
    this.apply({ type: "local_invite", users });
    const sent = await this.#send({ type: "invite", callees: users });
    if (!sent) this.apply({ type: "local_not_invited" });
  }

  /** The host mutes a member, who may unmute. */
  async muteMember(user: UserName, track: Track = "audio"): Promise<void> {
    await this.#send({ type: "mute", user, track });
  }

  async askUnmute(user: UserName, track: Track = "audio"): Promise<void> {
    await this.#send({ type: "ask_unmute", user, track });
  }

  /** The host stops a member's speech (or picture) at the RTC server until `unblock`. */
  async block(user: UserName, track: Track = "audio"): Promise<void> {
    await this.#send({ type: "block", user, track });
  }

  async unblock(user: UserName, track: Track = "audio"): Promise<void> {
    await this.#send({ type: "unblock", user, track });
  }

  /** The host removes a member, who may come back after `banS`. */
  async kick(user: UserName, banS = 0): Promise<void> {
    await this.#send({ type: "kick", user, banS });
  }

  /** One's own open track. */
  own(device: Device): MediaStreamTrack | undefined {
    return this.#own[device];
  }

  /** The track of another participation, if it is in a slot at present. */
  track(participation: ParticipationId, source: Source): MediaStreamTrack | undefined {
    return this.#session.track(participation, source);
  }

  /** All tracks to be played for the call to be heard. */
  audioTracks(): MediaStreamTrack[] {
    return this.#session.audioTracks();
  }

  /** How loud a participation is at present, 0 to 1. */
  level(participation: ParticipationId): number {
    return this.#session.level(participation);
  }

  /** Whether the picture of a participation has come in, and has stopped for a second or more. */
  isStill(participation: ParticipationId): boolean {
    return this.#session.isStill(participation);
  }

  /** Whether pictures or sound of others have come in within the last second. */
  receives(): boolean {
    return this.#session.receives();
  }

  /** Tries at once to establish a media path that has failed. */
  retryMedia(): void {
    this.#session.retry();
  }

  // What follows is the client's side of a call, not an application's.

  /** @internal Opens devices; what cannot be had is a `problem`, and the service is told that nothing comes from it. */
  async openDevices(want: readonly Device[]): Promise<void> {
    const captured: Captured = await capture(want);
    for (const device of want) await this.#opened(device, captured[device]);
    for (const problem of captured.problems) {
      this.emit("problem", problem);
      void this.mute(TRACK_BY_DEVICE[problem.device]);
    }
  }

  /** @internal Answers to questions that were asked before this moment do not know its present state. */
  markChanged(): void {
    this.changedAtMs = LOCAL.monotonicMs();
  }

  /** @internal */
  warm(): void {
    if (this.#warm) this.#session.warm(this.#warm);
  }

  /** @internal `request`: what it answers, where that is known. */
  signal(down: Down, request?: UpBody["type"]): void {
    const before = this.#state;
    this.apply(down);
    if (down.type === "refused") this.#refused(down, request);
    if (down.type === "roster_changed" && before.admitted && isGap(before, down)) void this.#catchUp(down);
    if (down.type === "admitted" && this.#state.phase !== "ended") this.#admitted(down.join, before.admitted);
  }

  /** @internal The call goes on after a reconnect or a reload; or begins, where the admission was lost. */
  resume({ meeting, roster, join }: StandingCall): void {
    const again = this.#state.admitted;
    this.apply({ type: "local_admitted", meeting, roster });
    if (join) this.#session.start(join);
    if (!again) this.#entered();
  }

  /** @internal The service confirms that it rings, and perhaps has not received what was sent from here. */
  confirmRinging({ ringing }: Ring, isResending: (type: UpBody["type"]) => boolean): void {
    const { phase } = this.#state;
    if (phase === "accepting" && !this.#answering && !isResending("accept")) void this.#answer();
    if (phase === "incoming" && !ringing && !isResending("ringing")) this.sendRinging();
  }

  /** @internal */
  sendRinging(): void {
    const { invitation } = this;
    if (invitation) this.#context.send({ type: "ringing", invitation }, this.meeting).catch(() => {});
  }

  /** @internal */
  signalling(signalling: "up" | "down"): void {
    this.#session.signalling(signalling);
    this.apply({ type: "local_signalling", signalling });
  }

  /** @internal */
  retryNow(): void {
    this.#session.retryNow();
  }

  /** @internal The service has confirmed that this device has left. */
  leftConfirmed(): void {
    this.#confirmLeft();
  }

  /** @internal */
  suspend(): void {
    this.#session.suspend();
  }

  /** @internal */
  apply(event: CallEvent): void {
    const before = this.#state;
    this.#state = reduce(before, { ...event, atMs: this.#context.nowMs() });
    if (this.#state === before) return;
    if (before.muted !== this.#state.muted) this.#followMute();
    if (this.#state.phase === "ended") this.#end();
    const changes = rosterChanges(before.roster, this.#state.roster, this.#state.me);
    this.emit("state", this.#state);
    if (changes.length > 0) this.emit("roster", changes);
  }

  /**
   * A refused accept is the end of the ring, unless it came too late by a clock that is wrong: then it rings on. Any other
   * refusal is a problem to show.
   */
  #refused({ code, words }: DownOf<"refused">, request: UpBody["type"] | undefined): void {
    const error = refusal(code, words);
    const isAnswer = this.#state.phase === "accepting" && (request ?? "accept") === "accept";
    if (isAnswer && code !== "expired") return this.apply({ type: "local_end", end: { reason: "refused", error } });
    if (isAnswer && this.invitation) this.#ringsOn();
    this.emit("problem", { error });
  }

  #ringsOn(): void {
    this.#closeDevices();
    this.apply({ type: "local_unanswered" });
  }

  /** Asks for the whole roster until an answer covers what was missed, also while it was asked for. */
  async #catchUp({ rev }: RosterChange): Promise<void> {
    this.#missedRev = Math.max(rev, this.#missedRev);
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    while (this.#state.phase !== "ended" && this.#state.roster.rev < this.#missedRev) {
      const askedRev = this.#missedRev;
      try {
        this.apply({ type: "local_roster", roster: await this.#context.roster(this.#state.meeting) });
        if (askedRev === this.#missedRev) break;
      } catch (error) {
        if (!(error instanceof ConvokeError)) throw error;
        if (error.category === "refused") break;
      }
    }
    this.#catchingUp = false;
  }

  #admitted(join: JoinParameters, again: boolean): void {
    this.#session.start(join);
    if (!again) this.#entered();
  }

  /** Others are to see in the roster what does not come from here. */
  #entered(): void {
    this.markChanged();
    for (const track of ["audio", "video"] as const) {
      if (this.#state.muted[track]) void this.#send({ type: "mute", track });
    }
  }

  async #opened(device: Device, track: MediaStreamTrack | undefined): Promise<void> {
    if (!track) return;
    if (this.#state.phase === "ended" || (device === "camera" && this.#state.muted.video)) return track.stop();
    track.enabled = device === "camera" || !this.#state.muted.audio;
    this.#own[device]?.stop();
    this.#own[device] = track;
    track.onended = () => this.#unplugged(device);
    await this.#session.setTrack(device, track);
    this.emit("media", undefined);
  }

  async #answer(): Promise<void> {
    const { invitation } = this;
    if (!invitation) return;
    this.#answering = true;
    await this.#send({ type: "accept", invitation });
    this.#answering = false;
  }

  /** A track that has ended never comes back: turning it on again opens the device again. */
  #unplugged(device: Device): void {
    delete this.#own[device];
    void this.#session.setTrack(device, undefined);
    this.emit("media", undefined);
    this.emit("problem", { device, error: new ConvokeError("device_failed", "the device went away") });
    void this.mute(TRACK_BY_DEVICE[device]);
  }

  /**
   * A camera that is off is closed, so that its light goes out; a microphone stays open, so that it is back at once. The
   * RTC server enforces both besides.
   */
  #followMute(): void {
    const { microphone, camera } = this.#own;
    if (microphone) microphone.enabled = !this.#state.muted.audio;
    if (!camera || !this.#state.muted.video) return;
    delete this.#own.camera;
    camera.stop();
    void this.#session.setTrack("camera", undefined);
    this.emit("media", undefined);
  }

  /** The media path of a call that was left stays open until the service knows, so that the others do not see it break. */
  #end(): void {
    this.#session.stop(this.#left);
    this.#closeDevices();
  }

  #closeDevices(): void {
    for (const device of ["microphone", "camera"] as const) {
      this.#own[device]?.stop();
      delete this.#own[device];
    }
  }

  /** False if it fails, which is a problem to show; what stands is what the service says. */
  async #send(body: UpBody): Promise<boolean> {
    try {
      await this.#context.send(body, this.#state.meeting);
      return true;
    } catch (error) {
      if (!(error instanceof ConvokeError)) throw error;
      this.emit("problem", { error });
      return false;
    }
  }
}

const TRACK_BY_DEVICE: Record<Device, Track> = { microphone: "audio", camera: "video" };
const DEVICE_BY_TRACK: Record<Track, Device> = { audio: "microphone", video: "camera" };
