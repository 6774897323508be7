/**
 * The client of one device of one user: keeps the signalling connection, rings, and creates calls.
 *
 * ```ts
 * const client = createClient({ server: location.origin, secret });
 * client.on("incoming", (call) => call.accept());
 * await client.connect();
 * const call = client.call("bob", { video: true });
 * ```
 */

import type { Call } from "./call/call.ts";
import { Calls } from "./calls.ts";
import { ContactWatch } from "./contacts.ts";
import { type Asked, ServiceClock } from "./core/clock.ts";
import { browserOf, type ClaimedDeviceSlot, claimSlot, type DeviceSlotContext, takeSlot } from "./core/device-slot.ts";
import { Emitter } from "./core/emitter.ts";
import { ConvokeError } from "./core/errors.ts";
import { watchPage } from "./core/page-events.ts";
import { socketOf } from "./core/server-addresses.ts";
import { shownName } from "./core/shown-text.ts";
import type { Login } from "./login/logins.ts";
import { accountKey, type Credentials, type CredentialsDocument, login } from "./login/requests.ts";
import { isRingSignal, RingBook, type StateAnswer } from "./ring/book.ts";
import { Ringer } from "./ring/ringer.ts";
import { openRingStore, type RingStore } from "./ring/store.ts";
import { SignallingConnection, type SignallingState } from "./signalling/connection.ts";
import { decodeDown } from "./signalling/decode.ts";
import type { Incoming, MqttConnect } from "./signalling/mqtt.ts";
import { Outbox } from "./signalling/outbox.ts";
import { Requests } from "./signalling/requests.ts";
import { SignalFilter } from "./signalling/signal-filter.ts";
import {
  type Contact,
  type Down,
  fromWire,
  type InvitationId,
  type Joinable,
  type MeetingId,
  type Outcome,
  type PastCall,
  type StandingCall,
  type UserName,
} from "./wire.ts";

export interface ClientOptions {
  /** Names the account in this browser's storage before its user is known. */
  account: string;
  /**
   * Stands for this browser and account in the names of its devices, 8 hex digits; by default made, and kept for
   * `account`.
   */
  browser?: string;
  /** Where this page reaches the server; by default where the server says. */
  server?: string;
  /**
   * A credential for `device`: the answer of the device API, as the application's own server passes it on, or that of a
   * login link. `refused` is the one that the server has just refused. What rejects with an error of category `login` is
   * final.
   */
  credentials(device: string, refused?: Credentials): Promise<Credentials | CredentialsDocument>;
  /** Where to take MQTT.js from; by default it is imported when first needed. */
  mqtt?: () => Promise<MqttConnect>;
}

/** A page of calls that are over. */
export interface History {
  calls: readonly PastCall[];
  next?: string;
}

export type ClientState =
  | { type: "idle" }
  | { type: "signing_in"; error?: ConvokeError }
  /** Signed in; the way to the service is being made, or made again. */
  | { type: "offline"; error?: ConvokeError }
  | { type: "online" }
  /** Another tab is this device now; `useHere` takes it back. */
  | { type: "elsewhere" }
  | { type: "refused"; error: ConvokeError };

export interface ClientEvents {
  state: ClientState;
  /** A ring, once per invitation. */
  incoming: Call;
  /** A call of this device has begun, or goes on after a reload. */
  call: Call;
  /** The missed calls that have not been seen on any device, newest first. */
  missed: readonly Outcome[];
  /** The call that this user is in on another device. */
  elsewhere: StandingCall | undefined;
  /** Meetings that go on without this user, who may come back by `rejoin`; the newest first. */
  joinable: readonly Joinable[];
  /** Whom this user may call, while `watchContacts` is on; undefined while it is not known how they stand. */
  contacts: readonly Contact[] | undefined;
  /** Whether what is known of rings outlives the page; reported at each change, and first if it does not. */
  kept: boolean;
}

/** A state request is repeated until it is answered, after this pause. */
const STATE_RETRY_MS = 2_000;
/** A call on another device ends without a word to this one, so it is asked for this often while it stands. */
const ELSEWHERE_EVERY_MS = 5_000;
/** So does a meeting that one might come back to. */
const JOINABLE_EVERY_MS = 15_000;
/** How often this device's clocks are held against each other. */
const CLOCKS_EVERY_MS = 1_000;
/** The browser says that there is no network: the server has so long to show that there is. */
const OFFLINE_CHECK_TIMEOUT_MS = 700;

type Mqtt = Pick<ClientOptions, "mqtt">;

/** Creates a client for a login that this browser remembers, or for the secret of a login link at each load. */
export function createClient(options: Mqtt & ({ login: Login } | { server: string; secret: string })): Client {
  const { mqtt } = options;
  if ("login" in options) {
    const { account, server } = options.login;
    const credentials = (device: string, refused?: Credentials) => options.login.credentials(device, refused);
    return new Client({ account, browser: account, server, credentials, mqtt });
  }
  const { server, secret } = options;
  const credentials = (device: string) => login(server, secret, device);
  return new Client({ account: accountKey(secret), server, credentials, mqtt });
}

export class Client extends Emitter<ClientEvents> {
  readonly #options: ClientOptions;
  readonly #clock = new ServiceClock();
  readonly #signalling: SignallingConnection;
  readonly #outbox: Outbox;
  readonly #requests: Requests;
  readonly #calls: Calls;
  readonly #filter = new SignalFilter(this.#clock);
  readonly #contacts: ContactWatch;
  #state: ClientState = { type: "idle" };
  #slot: ClaimedDeviceSlot | undefined;
  #store: RingStore | undefined;
  #ringer: Ringer | undefined;
  #missed: readonly Outcome[] = [];
  #joinable: readonly Joinable[] = [];
  #identity: { user: UserName; name: string } | undefined;
  #elsewhere: ReturnType<typeof setTimeout> | undefined;
  #joinableAgain: ReturnType<typeof setTimeout> | undefined;
  /** Counts connections: the time of an answer to another one says nothing. */
  #connections = 0;
  /** The state question of this connection that has no answer yet. */
  #question: Promise<boolean> | undefined;
  #asked: Asked | undefined;
  /** What is held, and what is to be polled, waits for an answer. */
  #askedAgain: ReturnType<typeof setTimeout> | undefined;
  #watching = false;
  #clockwork: ReturnType<typeof setInterval> | undefined;

  constructor(options: ClientOptions) {
    super();
    this.#options = options;
    this.#signalling = new SignallingConnection({
      credentials: (refused) => this.#signIn(refused),
      mqtt: options.mqtt ?? (async () => (await import("mqtt")).default.connect),
      receive: (message) => this.#receive(message),
      changed: (state) => this.#signallingChanged(state),
    });
    this.#outbox = new Outbox({
      publish: (topic, payload) => this.#signalling.publish(topic, payload),
      isUp: () => this.#signalling.state.type === "up",
    });
    this.#requests = new Requests(this.#outbox, this.#clock, () => this.#syncClock());
    this.#contacts = new ContactWatch(this.#requests, (contacts) => this.emit("contacts", contacts));
    this.#calls = new Calls({
      requests: this.#requests,
      me: () => this.#identity?.user ?? "",
      nowMs: () => this.#clock.nowMs(),
      isUp: () => this.#signalling.state.type === "up",
      declined: async (invitation) => this.#ringer?.declined(invitation),
      decided: (invitation) => void this.#ringer?.decided(invitation),
      began: (call) => this.emit("call", call),
      rings: (call) => this.emit("incoming", call),
      engaged: (engaged) => this.#signalling.urgent(engaged),
      receiving: (isReceiving) => (isReceiving ? this.#signalling.retryNow() : this.#signalling.check()),
    });
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Who is signed in, once that is known. */
  get identity(): { user: UserName; name: string } | undefined {
    return this.#identity;
  }

  get missed(): readonly Outcome[] {
    return this.#missed;
  }

  /** Milliseconds since 1970 by the service's clock. */
  nowMs(): number {
    return this.#clock.nowMs();
  }

  /**
   * Claims a device slot, signs in and keeps connected until `disconnect`. Resolves when first online, however long that
   * takes; what happens meanwhile and later is in `state`.
   *
   * # Errors
   * Rejects if signing in is refused for good.
   */
  async connect(): Promise<void> {
    if (this.#state.type !== "idle") return;
    this.#change({ type: "signing_in" });
    this.#slot = await claimSlot(this.#browser, browserContext(), () => this.#takenOver());
    this.#watchPage();
    this.#clockwork = setInterval(() => this.#checkClocks(), CLOCKS_EVERY_MS);
    this.#signalling.start();
    return this.#whenOnline();
  }

  /** Tells the service: a call of this device ends in some seconds, as if its page had been closed. */
  disconnect(): void {
    this.#signalling.leave();
    this.#calls.end("left");
    clearInterval(this.#clockwork);
    this.#slot?.release();
    this.#store?.close();
    this.#ringer = undefined;
    this.#change({ type: "idle" });
  }

  /** Takes this device back from the tab that took it over. */
  async useHere(): Promise<void> {
    const slot = this.#slot?.slot ?? 0;
    this.#slot = await takeSlot(this.#browser, slot, browserContext(), () => this.#takenOver());
    this.#change({ type: "offline" });
    this.#signalling.start();
  }

  /** Calls one or more users, once `connect` has signed in. The call is handed out at once; its `state` says how it goes. */
  call(user: UserName | readonly UserName[], { video = false, title }: { video?: boolean; title?: string } = {}): Call {
    if (!this.#identity) throw new Error("nobody is signed in yet: await connect() before call()");
    const callees = typeof user === "string" ? [user] : [...user];
    return this.#calls.create(callees, video ? "video" : "audio", title);
  }

  get joinable(): readonly Joinable[] {
    return this.#joinable;
  }

  /** Comes back to a meeting that goes on without this user, and leaves the call that this device is in. */
  rejoin(meeting: MeetingId, { video }: { video?: boolean } = {}): Call {
    const joinable = this.#joinable.find((other) => other.meeting === meeting);
    if (!joinable) throw new Error("there is no such meeting to come back to");
    return this.#calls.rejoin(joinable, video ?? joinable.media === "video");
  }

  /** Whom this user may call, with presence, asked once. */
  async contacts(): Promise<Contact[]> {
    const answer = await this.#requests.ask({ type: "contacts" });
    return answer.type === "contacts" ? answer.users : [];
  }

  /**
   * The user's calls that are over, newest first, kept for 90 days: a page of `limit` (1 to 50), from `before` on, which
   * is the `next` of the page before. Without a `next` there are no older ones.
   *
   * # Errors
   * `no_answer_from_service`, or what the way there raises.
   */
  async history({ before, limit }: { before?: string; limit?: number } = {}): Promise<History> {
    const answer = await this.#requests.ask({ type: "history", before, limit });
    return answer.type === "history" ? { calls: answer.calls, next: answer.next ?? undefined } : { calls: [] };
  }

  /** Whom this user may call, and each change of it, as `contacts` events; asks at once, also if it is on already. */
  watchContacts(on: boolean): void {
    this.#contacts.watch(on);
  }

  /** Asks the service for everything that stands; what is new comes as events. */
  refresh(): void {
    void this.#refresh();
  }

  /** A missed call was seen here; then it is seen on all devices. */
  async seen(invitation: InvitationId): Promise<void> {
    const outcome = this.#missed.find((missed) => missed.invitation === invitation);
    if (outcome) await this.#ringer?.seen(outcome);
    this.#setMissed(this.#missed.filter((missed) => missed.invitation !== invitation));
    await this.#requests.send({ type: "seen", invitation }, outcome?.meeting);
  }

  #whenOnline(): Promise<void> {
    return new Promise((resolve, reject) => {
      const off = this.on("state", (state) => {
        if (state.type === "online") resolve();
        else if (state.type === "refused") reject(state.error);
        else return;
        off();
      });
    });
  }

  get #browser(): string {
    return this.#options.browser ?? browserOf(this.#options.account, browserContext().local);
  }

  async #signIn(refused?: Credentials): Promise<Credentials> {
    const slot = this.#slot;
    if (!slot) throw new Error("no device slot is claimed");
    const credentials = fromWire(await this.#options.credentials(slot.device, refused)) as Credentials;
    this.#identity = { user: credentials.user, name: shownName(credentials.name, credentials.user) };
    if (!this.#ringer) await this.#openRings(credentials.clientId);
    const { server } = this.#options;
    if (!server) return credentials;
    return { ...credentials, endpoints: { ...credentials.endpoints, mqttWs: socketOf(server) } };
  }

  async #openRings(clientId: string): Promise<void> {
    this.#store = await openRingStore(clientId, { kept: (kept) => this.emit("kept", kept) });
    this.#clock.restore(await this.#store.offset());
    this.#ringer = new Ringer(await RingBook.open(this.#store, this.#clock), this.#clock, {
      ring: (ring) => this.#calls.ring(ring),
      stop: (invitation, reason) => this.#calls.stopRing(invitation, reason),
      declineAgain: (invitation, meeting) => {
        void this.#requests.send({ type: "reject", invitation, reason: "declined" }, meeting).catch(() => {});
      },
      refresh: () => void this.#refresh(),
    });
  }

  #signallingChanged(state: SignallingState): void {
    this.#question = undefined;
    this.#contacts.signalling(state.type === "up");
    if (state.type === "up") this.#online();
    else this.#outbox.interrupted();
    if (state.type === "taken_over") this.#calls.end("answered_elsewhere");
    if (state.type === "refused") this.#calls.end("failed");
    this.#calls.signalling(state.type === "up" ? "up" : "down");
    this.#change(this.#stateOf(state));
  }

  #stateOf(signalling: SignallingState): ClientState {
    const error = signalling.type === "waiting" ? signalling.error : undefined;
    switch (signalling.type) {
      case "up":
        return { type: "online" };
      case "refused":
        return { type: "refused", error: signalling.error };
      case "taken_over":
        return { type: "elsewhere" };
      case "stopped":
        return this.#state;
      default:
        return this.#identity ? { type: "offline", error } : { type: "signing_in", error };
    }
  }

  #online(): void {
    this.#clock.doubt();
    void this.#outbox.flush();
    this.#connections += 1;
    void this.#refresh();
  }

  /** Asks for everything that stands, unless that has just been asked; false if no answer came. */
  #refresh(): Promise<boolean> {
    if (this.#signalling.state.type !== "up") return Promise.resolve(false);
    this.#question ??= this.#ask();
    return this.#question;
  }

  async #ask(): Promise<boolean> {
    clearTimeout(this.#askedAgain);
    const connection = this.#connections;
    const asked = this.#clock.ask();
    const known = this.#ringer?.known ?? 0;
    this.#asked = asked;
    const answer = await this.#requests.ask({ type: "state" }).catch(ignoreKnown);
    // What is asked from now on may be more than this answer knows.
    if (this.#asked === asked) this.#question = undefined;
    if (answer?.type !== "state") {
      if (this.#asked === asked) this.#askedAgain = setTimeout(() => void this.#refresh(), STATE_RETRY_MS);
      return false;
    }
    if (connection === this.#connections) this.#clock.learn(answer.nowMs, asked);
    await this.#apply({ state: answer, known }, asked.atMs);
    return true;
  }

  /** The clocks of this device have jumped apart, or the service says that what was learnt is wrong. */
  #syncClock(): Promise<boolean> {
    this.#clock.doubt();
    return this.#refresh();
  }

  #checkClocks(): void {
    if (this.#asked && this.#clock.hasJumpedSince(this.#asked)) void this.#refresh();
  }

  async #apply(answer: StateAnswer, askedAtMs: number): Promise<void> {
    const { state } = answer;
    this.#identity = { user: state.user, name: state.name };
    await this.#store?.putOffset(this.#clock.offsetMs ?? 0);
    this.#setMissed(this.#unseen(state.outcomes).sort((a, b) => b.atMs - a.atMs));
    await this.#ringer?.confirm(answer);
    const call = state.call ?? undefined;
    const standing = call && this.#filter.isBeforeEnd(call.meeting, call.roster.rev) ? undefined : call;
    this.#calls.reconcile(standing, askedAtMs);
    this.#standsElsewhere(standing?.here ? undefined : standing);
    this.#setJoinable((state.joinable ?? []).filter(({ meeting, rev }) => !this.#filter.isBeforeEnd(meeting, rev)));
    this.#change(this.#state);
  }

  /** Without those that were seen here; `seen` is sent again for what the service does not know. */
  #unseen(outcomes: readonly Outcome[]): Outcome[] {
    return outcomes.filter((outcome) => {
      const known = this.#ringer?.knows(outcome) ?? "unseen";
      const { invitation, meeting } = outcome;
      if (known === "seen") this.#requests.send({ type: "seen", invitation }, meeting).catch(ignoreKnown);
      return known === "unseen";
    });
  }

  #standsElsewhere(call: StandingCall | undefined): void {
    clearTimeout(this.#elsewhere);
    if (call) this.#elsewhere = setTimeout(() => void this.#refresh(), ELSEWHERE_EVERY_MS);
    this.emit("elsewhere", call);
  }

  /** Stores what must be kept, and returns what is to be done after the acknowledgement. */
  async #receive({ topic, payload, dup }: Incoming): Promise<() => void> {
    const signal = decodeDown(topic, payload, this.#options.server);
    if (!signal) return () => {};
    const { down, ring } = signal;
    if (!ring) return () => this.#handleSignal(down);
    if (!isRingSignal(down) || !this.#ringer) return () => this.#calls.signal(down);
    const show = await this.#ringer.receive(down, dup);
    return () => {
      this.#followOutcome(down);
      show();
    };
  }

  #handleSignal(down: Down): void {
    // What this device waits for is not too old for it.
    const knownRev = this.#requests.waitsFor(down) ? 0 : this.#calls.rosterRev(down.meeting);
    if (!this.#filter.accepts(down, knownRev)) return;
    if (down.type === "presence") this.#contacts.handlePresence(down);
    this.#calls.signal(down);
  }

  #followOutcome(down: Down): void {
    if (down.type === "seen") this.#setMissed(this.#missed.filter((missed) => missed.invitation !== down.invitation));
    if (down.type === "ended" && down.reason === "answered_elsewhere") void this.#refresh();
    if (down.type !== "ended" || !down.outcome) return;
    const outcome = down.outcome;
    if (this.#ringer?.knows(outcome) !== "unseen") return;
    this.#setMissed([outcome, ...this.#missed.filter((missed) => missed.invitation !== outcome.invitation)]);
  }

  #setMissed(missed: readonly Outcome[]): void {
    this.#missed = missed;
    this.emit("missed", missed);
  }

  #setJoinable(joinable: readonly Joinable[]): void {
    clearTimeout(this.#joinableAgain);
    if (joinable.length > 0) this.#joinableAgain = setTimeout(() => this.refresh(), JOINABLE_EVERY_MS);
    if (joinable.length === 0 && this.#joinable.length === 0) return;
    this.#joinable = joinable;
    this.emit("joinable", joinable);
  }

  #takenOver(): void {
    this.#signalling.stop();
    this.#calls.end("answered_elsewhere");
    this.#change({ type: "elsewhere" });
  }

  #watchPage(): void {
    if (this.#watching) return;
    this.#watching = true;
    const retryNow = () => {
      this.#signalling.retryNow();
      this.#calls.retryNow();
    };
    watchPage({
      // A page that the browser keeps in its history wakes up; any other has disconnected.
      leaves: () => {
        this.#signalling.leave();
        this.#calls.suspend();
      },
      wakes: () => this.#wakes(),
      online: () => {
        this.#signalling.renew();
        retryNow();
      },
      // A server on this machine is still there.
      offline: () => this.#signalling.check(OFFLINE_CHECK_TIMEOUT_MS),
      retryNow,
    });
  }

  #wakes(): void {
    const wasOn = this.#state.type === "online" || this.#state.type === "offline";
    if (wasOn && this.#signalling.state.type === "stopped") this.#signalling.start();
  }

  #change(state: ClientState): void {
    this.#state = state;
    this.emit("state", state);
  }
}

function browserContext(): DeviceSlotContext {
  return { locks: navigator.locks, session: storage(() => sessionStorage), local: storage(() => localStorage) };
}

/** Some browsers throw at the mere question, where a person lets a page keep nothing. */
function storage(ask: () => DeviceSlotContext["local"]): DeviceSlotContext["local"] {
  try {
    return ask();
  } catch {
    return { getItem: () => null, setItem: () => {} };
  }
}

/** The next state answer makes good what a request without an answer leaves undone. */
function ignoreKnown(error: unknown): undefined {
  if (!(error instanceof ConvokeError)) throw error;
}
