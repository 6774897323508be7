/** The model: everything that the screens show, as signals. Only `controller.ts` writes; a story fills one by hand. */

import type {
  Call,
  CallEnd,
  CallState,
  ClientState,
  Contact,
  ConvokeError,
  Device,
  Joinable,
  Outcome,
  RememberedLogin,
} from "@convoke/sdk";
import { type Signal, signal } from "@preact/signals";
import type { PastCalls } from "./past-calls.ts";
import type { Trouble } from "./trouble.ts";

/** What a screen needs of a call besides its state. */
export type CallMedia = Pick<Call, "track" | "own" | "audioTracks" | "level" | "isStill">;

export interface Ringing {
  key: string;
  state: CallState;
}

export interface Ended {
  end: CallEnd;
  state: CallState;
}

export interface Notice {
  id: number;
  text: string;
  detail?: string;
}

export interface Problem {
  device?: Device;
  error: ConvokeError;
}

/** What the list at home is of. */
export type HomeView = "people" | "recent";

export type Panel = "people" | "invite" | undefined;

/** What stands before the terminal. */
export type SignInState =
  | { type: "opening" }
  | { type: "insecure"; goTo?: string }
  | { type: "signing_in"; error?: ConvokeError }
  | { type: "choose" }
  | { type: "no_link" }
  | { type: "refused"; error: ConvokeError }
  /** `told`: whether the server has ended the devices; undefined while it is asked. */
  | { type: "signed_out"; told: boolean | undefined }
  | { type: "in" };

export interface Model {
  signInState: Signal<SignInState>;
  /** Who could sign in in this browser without a link. */
  logins: Signal<readonly RememberedLogin[]>;
  client: Signal<ClientState>;
  name: Signal<string>;
  user: Signal<string>;
  contacts: Signal<readonly Contact[] | undefined>;
  /** What the contacts are said to do is what they do now. */
  contactsKnown: Signal<boolean>;
  /** Calls that go on without this person, who may go back. */
  joinable: Signal<readonly Joinable[]>;
  missed: Signal<readonly Outcome[]>;
  /** The missed call whose notification was pressed: calling back is at hand. */
  offered: Signal<string | undefined>;
  history: Signal<PastCalls>;
  view: Signal<HomeView>;
  /** The user is in a call on another device. */
  busyElsewhere: Signal<boolean>;
  call: Signal<CallState | undefined>;
  /** What of it is down. */
  trouble: Signal<Trouble | undefined>;
  /** When the call began to fill this screen, by the service's clock. */
  callSinceMs: Signal<number>;
  media: Signal<CallMedia | undefined>;
  /** Rises when tracks have come or gone. */
  mediaVersion: Signal<number>;
  ringing: Signal<readonly Ringing[]>;
  /** Rings that are not heard any more, in any tab; they still show. */
  silenced: Signal<ReadonlySet<string>>;
  /** Among the tabs of this user, this is the one that is heard when it rings. */
  loud: Signal<boolean>;
  /** How the last call from here ended, until it is closed. */
  ended: Signal<Ended | undefined>;
  problems: Signal<readonly Problem[]>;
  panel: Signal<Panel>;
  notices: Signal<readonly Notice[]>;
  /** What a screen reader is to say. */
  spoken: Signal<string>;
  soundReady: Signal<boolean>;
  testRings: Signal<boolean>;
  speakerOff: Signal<boolean>;
  /** The browser does not play without a touch. */
  soundBlocked: Signal<boolean>;
}

export function createModel(speakerOff: boolean): Model {
  return {
    signInState: signal<SignInState>({ type: "opening" }),
    logins: signal([]),
    client: signal<ClientState>({ type: "idle" }),
    name: signal(""),
    user: signal(""),
    contacts: signal(undefined),
    contactsKnown: signal(false),
    joinable: signal([]),
    missed: signal([]),
    offered: signal(undefined),
    history: signal<PastCalls>({ status: "unknown", calls: [] }),
    view: signal<HomeView>("people"),
    busyElsewhere: signal(false),
    call: signal(undefined),
    trouble: signal(undefined),
    callSinceMs: signal(0),
    media: signal(undefined),
    mediaVersion: signal(0),
    ringing: signal([]),
    silenced: signal<ReadonlySet<string>>(new Set()),
    loud: signal(false),
    ended: signal(undefined),
    problems: signal([]),
    panel: signal(undefined),
    notices: signal([]),
    spoken: signal(""),
    soundReady: signal(false),
    testRings: signal(false),
    speakerOff: signal(speakerOff),
    soundBlocked: signal(false),
  };
}

/** What a person can do. */
export interface Actions {
  /** By the service's clock. */
  nowMs(): number;
  useHere(): void;
  ready(): void;
  testRing(): void;
  speaker(off: boolean): void;
  unblockSound(): void;
  soundBlocked(): void;
  call(users: readonly string[], video: boolean): void;
  callBack(outcome: Outcome): void;
  dismissMissed(outcome: Outcome): void;
  view(view: HomeView): void;
  /** Reads the newest calls; those that were missed are seen then. */
  showHistory(): void;
  olderCalls(): void;
  accept(key: string, video: boolean): void;
  rejoin(meeting: string): void;
  decline(key: string): void;
  silence(): void;
  leave(): void;
  endForAll(): void;
  toggleMicrophone(): void;
  toggleCamera(): void;
  panel(panel: Panel): void;
  invite(user: string): void;
  cancelInvite(user: string): void;
  muteMember(user: string): void;
  askUnmute(user: string): void;
  block(user: string, blocked: boolean): void;
  kick(user: string): void;
  answerAsk(track: "audio" | "video", yes: boolean): void;
  closeEnded(): void;
  callAgain(): void;
  /** Tries to establish the media path now. */
  retryMedia(): void;
  dismissProblem(problem: Problem): void;
}
