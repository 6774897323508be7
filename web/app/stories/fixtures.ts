/** One model for each story. */

import { type CallState, type Contact, ConvokeError, type Member, type Outcome, type PastCall } from "@convoke/sdk";
import { createModel, type Model, type SignInState } from "../src/state/model.ts";
import type { PastCalls } from "../src/state/past-calls.ts";
import { type Trouble, TroubleWatch } from "../src/state/trouble.ts";
import { paintedTrack } from "./pictures.ts";

const NOW_MS = Date.now();
const MINUTE_MS = 60_000;

function member(user: string, name: string, more: Partial<Member> = {}): Member {
  return { user, name, participation: `p-${user}`, state: "in", muted: {}, blocked: {}, ...more };
}

const alice = member("alice", "Alice Marsh");
const bob = member("bob", "Bob Okafor");

function call(more: Partial<CallState> = {}): CallState {
  return {
    meeting: "m1",
    me: "alice",
    direction: "out",
    media: "video",
    phase: "joined",
    admitted: true,
    progress: { bob: { type: "accepted" } },
    roster: { rev: 3, host: "alice", members: [alice, bob] },
    path: "up",
    signalling: "up",
    muted: { audio: false, video: false },
    blocked: { audio: false, video: false },
    blockedBy: {},
    asked: {},
    joinedAtMs: NOW_MS - 187_000,
    ...more,
  };
}

function calling(progress: CallState["progress"][string]): CallState {
  const members = [alice, member("bob", "Bob Okafor", { state: "invited", participation: undefined })];
  return call({
    phase: "calling",
    joinedAtMs: undefined,
    progress: { bob: progress },
    roster: { rev: 1, host: "alice", members },
  });
}

function missed(from: string, fromName: string, agoMs: number, more: Partial<Outcome> = {}): Outcome {
  const atMs = NOW_MS - agoMs;
  return {
    invitation: `i-${from}-${agoMs}`,
    meeting: "m",
    rev: 1,
    from,
    fromName,
    media: "video",
    kind: "missed",
    atMs,
    ...more,
  };
}

function ringing(media: "audio" | "video"): CallState {
  const from = { user: "alice", name: "Alice Marsh" };
  const inside =
    media === "video"
      ? {
          members: 9,
          names: ["Alice Marsh", "Carol Núñez", "Dmitri Halonen", "Esmé Fairweather-Castellanos", "Farid Rahimi"],
        }
      : { members: 2, names: ["Alice Marsh", "Carol Núñez"] };
  return call({
    me: "bob",
    direction: "in",
    phase: "incoming",
    admitted: false,
    from,
    media,
    inside,
    roster: { rev: 0, members: [] },
    joinedAtMs: undefined,
  });
}

function entry(entry: SignInState): Model {
  return with_(createModel(false), (model) => (model.signInState.value = entry));
}

const remembered = [
  { account: "0a1b2c3d", user: "alice", name: "Alice Marsh" },
  { account: "4e5f6a7b", user: "esme", name: "Esmé Fairweather-Castellanos" },
];

function base(): Model {
  const model = entry({ type: "in" });
  model.client.value = { type: "online" };
  model.name.value = "Alice Marsh";
  model.user.value = "alice";
  model.contactsKnown.value = true;
  model.contacts.value = [
    { user: "bob", name: "Bob Okafor", presence: "online" },
    { user: "carol", name: "Carol Núñez", presence: "in_call" },
    { user: "dmitri", name: "Dmitri Halonen", presence: "offline", sinceMs: NOW_MS - 42 * MINUTE_MS },
    { user: "esme", name: "Esmé Fairweather-Castellanos", presence: "offline", sinceMs: NOW_MS - 49 * 60 * MINUTE_MS },
    { user: "farid", name: "Farid Rahimi", presence: "offline" },
  ];
  return model;
}

/** Names of people who write from right to left, and one that would turn round what follows it. */
const written = [member("layla", "ليلى حداد"), member("noa", "נועה לוי (3)"), member("mallory", "ecilA \u202e!")];

function withNamesOfAllDirections(model: Model): Model {
  model.contacts.value = written.map(({ user, name }) => ({ user, name, presence: "online" }));
  model.missed.value = written.map(({ user, name }) => missed(user, name, MINUTE_MS));
  return model;
}

const FIRST = ["Amara", "Bao", "Chidi", "Dmitri", "Esmé", "Farid", "Greta", "Hinata", "Ines", "Jonas"];
const LAST = ["Okafor", "Núñez", "Halonen", "Rahimi", "Lindqvist"];

function crowd(i: number): Contact {
  const name = `${FIRST[i % FIRST.length]} ${LAST[(i * 7) % LAST.length]}`;
  return { user: `user-${i}`, name, presence: i % 4 === 1 ? "online" : "offline", sinceMs: NOW_MS - i * MINUTE_MS };
}

function past(): PastCalls {
  const call = (hoursAgo: number, more: Partial<PastCall>, ...who: [string, string][]): PastCall => ({
    meeting: `m-${hoursAgo}`,
    direction: "received",
    media: "video",
    result: "answered",
    durationMs: 187_000,
    others: 0,
    startedAtMs: NOW_MS - hoursAgo * 60 * MINUTE_MS,
    with: who.map(([user, name]) => ({ user, name })),
    ...more,
  });
  const bob: [string, string] = ["bob", "Bob Okafor"];
  const esme: [string, string] = ["esme", "Esmé Fairweather-Castellanos"];
  const layla: [string, string] = ["layla", "ليلى حداد"];
  return {
    status: "known",
    next: "older",
    calls: [
      call(0.2, { result: "missed" }, bob),
      call(0.5, { direction: "made", media: "audio" }, layla),
      call(24, { direction: "made", result: "busy" }, esme),
      call(25, { others: 3, title: "Weekly planning", durationMs: 3_930_000 }, esme, bob, layla),
      call(170, { direction: "made", result: "no_answer", media: "audio" }, bob),
      call(171, { result: "declined" }, ["dmitri", "Dmitri Halonen"]),
    ],
  };
}

/** What shows of a trouble that has stood for a while. */
function standing(state: CallState): Trouble | undefined {
  const watch = new TroubleWatch();
  watch.look(state, false, 0);
  return watch.look(state, false, MINUTE_MS);
}

function inCall(state: CallState): Model {
  const model = base();
  const tracks = new Map<string, MediaStreamTrack | undefined>();
  const track = (key: string) => {
    if (!tracks.has(key)) tracks.set(key, paintedTrack(tracks.size));
    return tracks.get(key);
  };
  model.call.value = state;
  model.trouble.value = standing(state);
  model.media.value = {
    track: (participation) => (participation === "p-dmitri" ? undefined : track(participation)),
    own: (device) => (device === "camera" && !state.muted.video ? track("self") : undefined),
    audioTracks: () => [],
    level: (participation) => (participation === "p-bob" ? 0.2 : 0),
    isStill: () => false,
  };
  return model;
}

/** 64 characters, without a place to break it and with. */
const LONG = "Wolfeschlegelsteinhausenbergerdorffwelchevoralternwarengewissens";
const LONG_2 = "Maria Antónia de Vasconcelos-Albuquerque e Castro do Rio Pequeno";

const gathering = (count: number) =>
  Array.from({ length: count }, (_, i) => [alice, bob, ...more][i] ?? member(`guest-${i}`, `Guest number ${i}`));

const more = [
  member("carol", "Carol Núñez", { muted: { audio: true } }),
  member("farid", "Farid Rahimi"),
  member("long", LONG, { muted: { audio: true }, blocked: { audio: true } }),
  member("layla", "ليلى الحداد"),
  member("yael", "יעל כהן", { state: "lost" }),
  member("long-2", LONG_2),
  member("esme", "Esmé Fairweather-Castellanos", { state: "ringing", participation: undefined }),
];

const many = [
  alice,
  bob,
  member("carol", "Carol Núñez", { muted: { audio: true } }),
  member("dmitri", "Dmitri Halonen", { muted: { video: true }, blocked: { audio: true } }),
  member("esme", "Esmé Fairweather-Castellanos", { state: "ringing", participation: undefined }),
];
const conference = (more: Partial<CallState> = {}) =>
  call({ roster: { rev: 5, host: "alice", members: many }, ...more });

function with_(model: Model, change: (model: Model) => unknown): Model {
  change(model);
  return model;
}

/** What is pressed before the picture. */
export const presses: Record<string, readonly string[]> = {
  "confirm-end": ["end-all"],
  "confirm-remove": ["kick"],
  "confirm-sign-out": ["me"],
};

export const stories: Record<string, () => Model> = {
  "no-link": () => entry({ type: "no_link" }),
  insecure: () => entry({ type: "insecure", goTo: "https://calls.example.org:8443/" }),
  "insecure-nowhere": () => entry({ type: "insecure" }),
  choose: () => with_(entry({ type: "choose" }), (m) => (m.logins.value = remembered)),
  "signed-out": () => with_(entry({ type: "signed_out", told: false }), (m) => (m.logins.value = remembered)),
  "signing-in": () => entry({ type: "signing_in" }),
  unreachable: () => entry({ type: "signing_in", error: new ConvokeError("server_unreachable") }),
  "link-invalid": () => entry({ type: "refused", error: new ConvokeError("link_invalid") }),
  "login-ended": () =>
    with_(base(), (m) => (m.client.value = { type: "refused", error: new ConvokeError("login_ended") })),
  "login-expired": () =>
    with_(base(), (m) => (m.client.value = { type: "refused", error: new ConvokeError("login_expired") })),
  elsewhere: () => with_(base(), (m) => (m.client.value = { type: "elsewhere" })),
  contacts: base,
  "confirm-sign-out": base,
  "service-away": () =>
    with_(base(), (m) => {
      m.client.value = { type: "offline" };
      m.contactsKnown.value = false;
    }),
  "go-back": () =>
    with_(base(), (m) => {
      m.soundReady.value = true;
      m.joinable.value = [
        {
          meeting: "m1",
          media: "video",
          rev: 4,
          members: 6,
          names: ["Bob Okafor", "Carol Núñez", "Dmitri Halonen", "Farid Rahimi"],
        },
      ];
    }),
  missed: () =>
    with_(base(), (m) => {
      m.soundReady.value = true;
      m.speakerOff.value = true;
      m.missed.value = [
        missed("bob", "Bob Okafor", 3 * MINUTE_MS),
        missed("esme", "Esmé Fairweather-Castellanos", 26 * 60 * MINUTE_MS, { media: "audio", kind: "missed_busy" }),
      ];
    }),
  offline: () => with_(inCall(calling({ type: "waiting", untilMs: NOW_MS + 40_000 })), () => {}),
  calling: () => inCall(calling({ type: "calling" })),
  "calling-ringing": () => inCall(calling({ type: "ringing" })),
  ringing: () => with_(base(), (m) => (m.ringing.value = [{ key: "m1", state: ringing("video") }])),
  "ringing-audio": () => with_(base(), (m) => (m.ringing.value = [{ key: "m1", state: ringing("audio") }])),
  "ringing-in-call": () =>
    with_(inCall(call({ me: "bob" })), (m) => {
      m.ringing.value = [{ key: "m2", state: ringing("video") }];
    }),
  "ringing-twice": () =>
    with_(base(), (m) => {
      const second = { ...ringing("audio"), from: { user: "esme", name: "Esmé Fairweather-Castellanos" } };
      m.ringing.value = [
        { key: "m1", state: ringing("video") },
        { key: "m2", state: second },
      ];
    }),
  "called-in-call": () =>
    with_(inCall(call({ me: "bob" })), (m) => {
      m.missed.value = [missed("carol", "Carol Núñez", 0, { kind: "missed_busy" })];
    }),
  "going-back": () =>
    inCall(
      call({
        phase: "accepting",
        admitted: false,
        progress: {},
        roster: { rev: 0, members: [] },
        inside: { members: 6, names: ["Bob Okafor", "Carol Núñez", "Dmitri Halonen", "Farid Rahimi"] },
        path: "idle",
        joinedAtMs: undefined,
      }),
    ),
  "in-call": () => inCall(call()),
  "three-in-call": () => inCall(call({ roster: { rev: 4, host: "alice", members: many.slice(0, 3) } })),
  "five-in-call": () => inCall(call({ roster: { rev: 4, host: "alice", members: gathering(5) } })),
  "nine-in-call": () => inCall(call({ roster: { rev: 4, host: "alice", members: gathering(9) } })),
  "thirty-in-call": () => inCall(call({ roster: { rev: 4, host: "alice", members: gathering(30) } })),
  "blocked-in-call": () => inCall(call({ blocked: { audio: true, video: true } })),
  "not-reachable": () =>
    with_(base(), (m) => {
      m.client.value = { type: "offline" };
      m.contactsKnown.value = false;
      m.soundReady.value = true;
    }),
  "no-media": () =>
    inCall(
      call({
        roster: { rev: 4, host: "alice", members: [alice, bob, member("carol", "Carol Núñez", { state: "no_media" })] },
      }),
    ),
  "long-names": () =>
    inCall(
      call({ roster: { rev: 4, host: "alice", members: [alice, member("long", LONG), member("long-2", LONG_2)] } }),
    ),
  "long-name": () => inCall(call({ roster: { rev: 4, host: "alice", members: [alice, member("long", LONG)] } })),
  "long-name-people": () =>
    with_(
      inCall(call({ roster: { rev: 4, host: "alice", members: gathering(9) } })),
      (m) => (m.panel.value = "people"),
    ),
  "long-name-ringing": () =>
    with_(base(), (m) => {
      const state = {
        ...ringing("video"),
        from: { user: "long", name: LONG_2 },
        title: "The weekly look at all. ".repeat(8),
      };
      m.ringing.value = [{ key: "m1", state }];
    }),
  "long-name-calling": () =>
    inCall({
      ...calling({ type: "waiting", untilMs: NOW_MS + 40_000 }),
      roster: {
        rev: 1,
        host: "alice",
        members: [alice, member("bob", LONG, { state: "invited", participation: undefined })],
      },
    }),
  "confirm-end": () => with_(inCall(conference()), (m) => (m.panel.value = "people")),
  "confirm-remove": () =>
    with_(inCall(call({ roster: { rev: 4, host: "alice", members: [alice, member("long", LONG)] } })), (m) => {
      m.panel.value = "people";
    }),
  "news-at-home": () => with_(base(), (m) => (m.notices.value = [{ id: 1, text: `Missed call from ${LONG_2}.` }])),
  news: () => with_(inCall(conference()), (m) => (m.notices.value = [{ id: 1, text: `${LONG_2} did not answer.` }])),
  conference: () => inCall(conference()),
  "invite-ringing": () => with_(inCall(conference()), (m) => (m.panel.value = "invite")),
  people: () => with_(inCall(conference()), (m) => (m.panel.value = "people")),
  invite: () => with_(inCall(call({ muted: { audio: true, video: true } })), (m) => (m.panel.value = "invite")),
  trouble: () =>
    with_(
      inCall(
        conference({
          signalling: "down",
          path: "lost",
          blocked: { audio: true, video: false },
          muted: { audio: true, video: true },
          asked: { audio: "bob" },
        }),
      ),
      (m) => {
        m.speakerOff.value = true;
        m.problems.value = [{ device: "camera", error: new ConvokeError("device_denied") }];
      },
    ),
  firefox: () => inCall(call({ path: "failed", pathError: new ConvokeError("media_loopback_firefox") })),
  declined: () =>
    with_(base(), (m) => {
      const state = {
        ...calling({ type: "rejected", reason: "declined" }),
        phase: "ended",
        end: { reason: "declined", by: "bob" },
      } as const;
      m.ended.value = { end: state.end, state };
    }),
  "no-answer": () =>
    with_(base(), (m) => {
      const state = { ...calling({ type: "ringing" }), phase: "ended", end: { reason: "no_answer" } } as const;
      m.ended.value = { end: state.end, state };
    }),
  "names-of-all-directions": () => withNamesOfAllDirections(base()),
  "ringing-right-to-left": () =>
    with_(base(), (m) => {
      const inside = { members: 6, names: written.map(({ name }) => name) };
      const from = { user: "layla", name: "ليلى حداد" };
      m.ringing.value = [{ key: "m1", state: { ...ringing("video"), from, inside, title: "اجتماع الفريق (3)" } }];
    }),
  "in-call-names-of-all-directions": () =>
    with_(inCall(call({ roster: { rev: 5, host: "alice", members: [alice, ...written] } })), (m) => {
      m.panel.value = "people";
    }),
  "many-people": () =>
    with_(base(), (m) => {
      m.soundReady.value = true;
      m.contacts.value = Array.from({ length: 200 }, (_, i) => crowd(i));
      m.history.value = past();
    }),
  "invite-many": () =>
    with_(inCall(call()), (m) => {
      m.contacts.value = Array.from({ length: 40 }, (_, i) => crowd(i));
      m.panel.value = "invite";
    }),
  "recent-calls": () =>
    with_(base(), (m) => {
      m.soundReady.value = true;
      m.view.value = "recent";
      m.history.value = past();
    }),
  "recent-calls-failed": () =>
    with_(base(), (m) => {
      m.view.value = "recent";
      m.history.value = { ...past(), status: "failed" };
    }),
  empty: () => with_(base(), (m) => (m.contacts.value = [])),
};
