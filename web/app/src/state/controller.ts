/** The controller: the model follows the client and its calls, which get what a person does. */

import {
  type Call,
  type CallEnd,
  type CallState,
  type Client,
  isIn,
  type Outcome,
  type RosterNews,
} from "@convoke/sdk";
import { batch } from "@preact/signals";
import { duration } from "../texts/format.ts";
import { t } from "../texts/t.ts";
import { blockWords } from "./block-words.ts";
import { since } from "./call-start.ts";
import { endWords, invitationNews, staysOpen } from "./end-words.ts";
import { rememberSpeaker } from "./link.ts";
import type { Actions, Model, Problem } from "./model.ts";
import { Notifier } from "./notify.ts";
import { missedIn, withNewest, withOlder } from "./past-calls.ts";
import type { Sounds } from "./sounds.ts";
import { Tabs } from "./tabs.ts";
import { TroubleWatch } from "./trouble.ts";

const NOTICE_MS = 5_000;
/** How often it is looked whether pictures and sound still come in. */
const LOOK_EVERY_MS = 250;
/** In about so long the service has ended a call that was left. */
const ENDED_MS = 1_000;
/** Ends of a ring that leave a missed call behind. */
const MISSED = new Set<CallEnd["reason"]>(["no_answer", "cancelled", "caller_gone", "destroyed"]);

export class Controller implements Actions {
  readonly #model: Model;
  readonly #client: Client;
  readonly #sounds: Sounds;
  readonly #ringing = new Map<string, Call>();
  /** Calls that have listeners: one whose accept failed may be answered again. */
  readonly #followed = new WeakSet<Call>();
  readonly #tabs: Tabs;
  readonly #notifier: Notifier;
  #call: Call | undefined;
  #trouble = new TroubleWatch();
  #lastNotice = 0;
  #reading = Promise.resolve(true);
  #saidNotKept = false;

  constructor(model: Model, client: Client, sounds: Sounds) {
    this.#model = model;
    this.#client = client;
    this.#sounds = sounds;
    this.#tabs = new Tabs(model);
    this.#notifier = new Notifier(model);
  }

  start(): void {
    const { client, contacts, contactsKnown, joinable, missed, busyElsewhere } = this.#model;
    this.#client.on("state", (state) => {
      const wasOnline = client.value.type === "online";
      client.value = state;
      if (state.type === "online") this.#knowHistory(!wasOnline);
      else if (state.type !== "offline") this.#stopTest();
      this.#model.name.value = this.#client.identity?.name ?? "";
      this.#model.user.value = this.#client.identity?.user ?? "";
    });
    this.#client.on("contacts", (list) => {
      contactsKnown.value = list !== undefined;
      if (list) contacts.value = list;
    });
    this.#client.on("joinable", (list) => {
      joinable.value = list;
    });
    this.#client.on("missed", (list) => {
      if (list.length > missed.value.length) void this.#readHistory();
      missed.value = list;
      this.#notifier.missed(list);
    });
    this.#client.on("elsewhere", (call) => {
      busyElsewhere.value = call !== undefined;
    });
    this.#client.on("kept", (kept) => this.#keeps(kept));
    this.#client.on("incoming", (call) => this.#rings(call));
    this.#client.on("call", (call) => this.#enter(call));
    this.#client.watchContacts(true);
    this.#tabs.follow();
    this.#notifier.follow();
    this.#sounds.follow(this.#model);
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState !== "visible") return;
      this.#client.watchContacts(true);
      this.#client.refresh();
    });
    setInterval(() => this.#showTrouble(), LOOK_EVERY_MS);
    this.#client.connect().catch(() => {
      // The state says why, and its screen what helps.
    });
  }

  nowMs(): number {
    return this.#client.nowMs();
  }

  useHere(): void {
    void this.#client.useHere();
  }

  ready(): void {
    this.#notifier.ask();
    this.#unlock();
  }

  #unlock(): void {
    void this.#sounds.unlock().then((ready) => {
      this.#model.soundReady.value = ready;
    });
  }

  testRing(): void {
    const { testRings } = this.#model;
    testRings.value = !testRings.value;
  }

  /** Where its button is not to be seen, or somebody rings in earnest. */
  #stopTest(): void {
    this.#model.testRings.value = false;
  }

  speaker(off: boolean): void {
    this.#model.speakerOff.value = off;
    rememberSpeaker(off);
  }

  soundBlocked(): void {
    this.#model.soundBlocked.value = true;
  }

  unblockSound(): void {
    this.#model.soundBlocked.value = false;
    this.#unlock();
  }

  call(users: readonly string[], video: boolean): void {
    if (this.#call) return;
    this.#unlock();
    this.#client.call(users, { video });
  }

  callBack(outcome: Outcome): void {
    this.dismissMissed(outcome);
    this.leave();
    this.call([outcome.from], outcome.media === "video");
  }

  dismissMissed(outcome: Outcome): void {
    this.#client.seen(outcome.invitation).catch(() => {});
  }

  view(view: Model["view"]["value"]): void {
    this.#model.view.value = view;
  }

  showHistory(): void {
    const { missed, history } = this.#model;
    void this.#readHistory().then((read) => {
      const listed = read ? missedIn(missed.value, history.value) : [];
      for (const outcome of listed) this.dismissMissed(outcome);
    });
  }

  olderCalls(): void {
    const { status, next } = this.#model.history.value;
    if (next && status !== "loading") void this.#readHistory(next);
  }

  accept(key: string, video: boolean): void {
    const call = this.#ringing.get(key);
    if (!call) return;
    void call.accept({ video });
    this.#ringing.delete(key);
    this.#enter(call);
  }

  rejoin(meeting: string): void {
    if (this.#call) return;
    this.#unlock();
    this.#client.rejoin(meeting);
  }

  decline(key: string): void {
    void this.#ringing.get(key)?.reject();
  }

  silence(): void {
    this.#tabs.silence([...this.#ringing.keys()]);
  }

  leave(): void {
    void this.#call?.leave();
  }

  endForAll(): void {
    void this.#call?.destroy();
  }

  toggleMicrophone(): void {
    const call = this.#call?.state;
    if (call?.blocked.audio) return this.#say(blockWords(call, "audio"));
    const muted = this.#call?.state.muted.audio;
    this.#model.spoken.value = t(muted ? "live.unmuted" : "live.muted");
    void (muted ? this.#call?.unmute("audio") : this.#call?.mute("audio"));
  }

  toggleCamera(): void {
    const call = this.#call?.state;
    if (call?.blocked.video) return this.#say(blockWords(call, "video"));
    void (this.#call?.state.muted.video ? this.#call.unmute("video") : this.#call?.mute("video"));
  }

  panel(panel: Model["panel"]["value"]): void {
    this.#model.panel.value = panel;
  }

  invite(user: string): void {
    void this.#call?.invite(user);
  }

  cancelInvite(user: string): void {
    void this.#call?.cancel(user);
  }

  muteMember(user: string): void {
    void this.#call?.muteMember(user);
  }

  askUnmute(user: string): void {
    void this.#call?.askUnmute(user);
  }

  block(user: string, blocked: boolean): void {
    void (blocked ? this.#call?.block(user) : this.#call?.unblock(user));
  }

  kick(user: string): void {
    void this.#call?.kick(user);
  }

  answerAsk(track: "audio" | "video", yes: boolean): void {
    if (yes) void this.#call?.unmute(track);
    else this.#call?.dismissAsk(track);
  }

  closeEnded(): void {
    this.#model.ended.value = undefined;
  }

  callAgain(): void {
    const ended = this.#model.ended.value;
    this.closeEnded();
    const user = ended && Object.keys(ended.state.progress)[0];
    if (user) this.call([user], ended.state.media === "video");
  }

  retryMedia(): void {
    this.#call?.retryMedia();
  }

  dismissProblem(problem: Problem): void {
    const { problems } = this.#model;
    problems.value = problems.value.filter((other) => other !== problem);
  }

  /** What could not be had is asked for again once the server is back. */
  #knowHistory(isBack: boolean): void {
    const { status } = this.#model.history.value;
    if (status === "unknown" || (status === "failed" && isBack)) void this.#readHistory();
  }

  /** The page that begins at `before`, or the newest, one after the other; false if it cannot be had. */
  #readHistory(before?: string): Promise<boolean> {
    this.#reading = this.#reading.then(() => this.#readPage(before));
    return this.#reading;
  }

  async #readPage(before: string | undefined): Promise<boolean> {
    const { history } = this.#model;
    history.value = { ...history.value, status: "loading" };
    try {
      const page = await this.#client.history({ before });
      history.value = before ? withOlder(history.value, page) : withNewest(history.value, page);
      return true;
    } catch {
      history.value = { ...history.value, status: "failed" };
      return false;
    }
  }

  #rings(call: Call): void {
    this.#stopTest();
    const key = call.meeting;
    this.#ringing.set(key, call);
    this.#model.spoken.value = t("live.rings", { name: call.state.from?.name ?? "" });
    this.#showRinging();
    call.on("state", (state) => {
      if (state.phase === "incoming") return this.#ringsOn(key, call);
      if (this.#ringing.delete(key)) this.#showRinging();
      if (state.phase === "ended" && call !== this.#call) this.#ringEnded(state);
    });
  }

  /** Also after an accept that came to nothing. */
  #ringsOn(key: string, call: Call): void {
    this.#ringing.set(key, call);
    if (call === this.#call) {
      this.#call = undefined;
      this.#model.call.value = this.#model.media.value = undefined;
      this.#notice(t("error.refused_expired"));
    }
    this.#showRinging();
  }

  #ringEnded(state: CallState): void {
    const reason = state.end?.reason;
    const name = state.from?.name ?? "";
    if (state.end?.by === state.me) return;
    if (reason === "answered_elsewhere" || reason === "declined_elsewhere") return this.#notice(t(`end.${reason}`));
    if (reason && MISSED.has(reason)) this.#model.spoken.value = t("live.missed", { name });
  }

  #showRinging(): void {
    this.#model.ringing.value = [...this.#ringing].map(([key, call]) => ({ key, state: call.state }));
    if (this.#ringing.size === 0) this.#model.silenced.value = new Set();
  }

  /** This call fills the screen from now on. */
  #enter(call: Call): void {
    this.#call = call;
    this.#trouble = new TroubleWatch();
    this.#stopTest();
    batch(() => {
      this.#model.ended.value = undefined;
      this.#model.problems.value = [];
      // There may have been a touch since.
      this.#model.soundBlocked.value = false;
      this.#model.notices.value = [];
      this.#model.media.value = call;
      this.#model.callSinceMs.value = this.#client.nowMs();
      this.#showRinging();
      this.#follow(call.state, call);
    });
    this.#listen(call);
  }

  #listen(call: Call): void {
    if (this.#followed.has(call)) return;
    this.#followed.add(call);
    call.on("state", (state) => this.#follow(state, call));
    call.on("media", () => {
      this.#model.mediaVersion.value += 1;
    });
    call.on("roster", (changes) => this.#announce(changes));
    call.on("problem", (problem) => call === this.#call && this.#problem(problem));
  }

  #follow(state: CallState, call: Call): void {
    if (call !== this.#call) return;
    const before = this.#model.call.value;
    if (state.phase === "ended") return this.#ended(state);
    this.#model.call.value = this.#timed(state);
    this.#showTrouble();
    for (const words of invitationNews(before, state, this.#model.contacts.value)) this.#notice(words);
    if (before?.phase !== "joined" && state.phase === "joined") this.#model.spoken.value = t("live.connected");
  }

  /** A new object only where the words are new: the banner is not announced again. */
  #showTrouble(): void {
    const call = this.#call;
    this.#model.trouble.value = call && this.#trouble.look(call.state, call.receives(), performance.now());
  }

  /** A call that goes on after a reload began when it began. */
  #timed(state: CallState): CallState {
    const { joinedAtMs, me, meeting } = state;
    return joinedAtMs ? { ...state, joinedAtMs: since(me, meeting, joinedAtMs) } : state;
  }

  #ended(state: CallState): void {
    this.#call = undefined;
    const end = state.end ?? { reason: "left" };
    batch(() => {
      this.#model.call.value = undefined;
      this.#model.media.value = undefined;
      this.#model.trouble.value = undefined;
      this.#model.panel.value = undefined;
      this.#model.notices.value = [];
      if (staysOpen(state)) this.#model.ended.value = { end, state };
    });
    void this.#readHistory();
    this.#sounds.ended(state);
    if (!staysOpen(state)) this.#notice(this.#farewell(this.#timed(state)));
    // It may go on without this person, who may want to go back.
    if (state.roster.members.filter(isIn).length > 2) setTimeout(() => this.#client.refresh(), ENDED_MS);
  }

  #farewell(state: CallState): string {
    const what = endWords(state, this.#model.contacts.value).title;
    if (!state.joinedAtMs) return what;
    return t("end.duration", { what, duration: duration(this.#client.nowMs() - state.joinedAtMs) });
  }

  #announce(changes: readonly RosterNews[]): void {
    for (const { type, name } of changes) this.#notice(t(`live.${type}`, { name }));
  }

  #problem(problem: Problem): void {
    const { problems } = this.#model;
    const isSame = (other: Problem) =>
      other.device === problem.device && (problem.device || other.error.code === problem.error.code);
    const others = problems.value.filter((other) => !isSame(other));
    problems.value = [...others.slice(-2), problem];
  }

  #keeps(kept: boolean): void {
    if (!kept && !this.#saidNotKept) this.#notice(t("live.not_kept"));
    this.#saidNotKept ||= !kept;
  }

  /** To a screen reader. */
  #say(words: string): void {
    this.#model.spoken.value = words;
  }

  #notice(text: string): void {
    const { notices, spoken } = this.#model;
    this.#lastNotice += 1;
    const id = this.#lastNotice;
    spoken.value = text;
    notices.value = [...notices.value.slice(-2), { id, text }];
    setTimeout(() => {
      notices.value = notices.value.filter((notice) => notice.id !== id);
    }, NOTICE_MS);
  }
}
