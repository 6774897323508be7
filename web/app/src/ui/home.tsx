/** The home screen: who is there, who called, and whether this tab is ready to ring. */

import type { Outcome } from "@convoke/sdk";
import type { HomeView } from "../state/model.ts";
import { people } from "../state/people-in-call.ts";
import { when } from "../texts/format.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { useCallBackFocus } from "./call-back-focus.ts";
import { Bell, Camera, Check, Logo, Missed, Phone, SpeakerOff } from "./icons.tsx";
import { Notices } from "./notices.tsx";
import { Contacts } from "./people.tsx";
import { Recent } from "./recent.tsx";
import { SignedInUser } from "./signed-in-user.tsx";
import { MissedButtons } from "./small-button.tsx";

export function Home() {
  const { model } = useApp();
  return (
    <div class="home">
      <Header />
      <main id="main" class="home-grid">
        <div class="side">
          {model.busyElsewhere.value ? <p class="card note">{t("banner.elsewhere")}</p> : null}
          <GoBack />
          <Ready />
          {model.speakerOff.value ? <SpeakerCard /> : null}
          <MissedList />
        </div>
        <Lists />
      </main>
    </div>
  );
}

function Header() {
  const { model } = useApp();
  const online = model.client.value.type === "online";
  return (
    <header class="header">
      <span class="brand">
        <Logo />
        {t("app.name")}
      </span>
      <Notices />
      <span class="me">
        <span class={`state ${online ? "online" : "offline"}`} data-testid="state" role="status">
          {t(online ? "state.online" : "state.offline")}
        </span>
        <SignedInUser />
      </span>
    </header>
  );
}

/** The newest call that goes on without this person. */
function GoBack() {
  const { model, actions } = useApp();
  const call = model.joinable.value[0];
  if (!call || model.client.value.type !== "online") return null;
  const who = people(call.names ?? [], call.members);
  return (
    <section class="card go-back" aria-labelledby="go-back-title" data-testid="joinable">
      <span class="card-icon">{call.media === "video" ? <Camera /> : <Phone />}</span>
      <div>
        <h2 id="go-back-title">{call.title ? <bdi>{call.title}</bdi> : t("joinable.title")}</h2>
        <p>{who ? t("joinable.who", { names: who }) : t("joinable.nobody")}</p>
        <button type="button" class="button primary" data-testid="rejoin" onClick={() => actions.rejoin(call.meeting)}>
          {t("joinable.back")}
        </button>
      </div>
    </section>
  );
}

function Ready() {
  const { model, actions } = useApp();
  const ready = model.soundReady.value;
  const reached = ready && model.client.value.type === "online";
  const { title, why } = readyWords(ready, reached);
  return (
    <section class={`card ready ${reached ? "done" : ""}`} aria-labelledby="ready-title">
      <span class="card-icon">{reached ? <Check /> : <Bell />}</span>
      <div>
        <h2 id="ready-title">{title}</h2>
        <p>{why}</p>
        {ready ? (
          <button
            type="button"
            class="button quiet"
            data-testid="test-ring"
            aria-pressed={model.testRings.value}
            onClick={() => actions.testRing()}
          >
            {t(model.testRings.value ? "ready.test_stop" : "ready.test")}
          </button>
        ) : (
          <button type="button" class="button primary" data-testid="ready" onClick={() => actions.ready()}>
            {t("ready.button")}
          </button>
        )}
      </div>
    </section>
  );
}

/** The bell of this tab is of use only while the server can be reached. */
function readyWords(ready: boolean, reached: boolean) {
  if (reached) return { title: t("ready.done"), why: t("ready.done_why") };
  if (ready) return { title: t("ready.away"), why: t("ready.away_why") };
  return { title: t("ready.title"), why: t("ready.why") };
}

function SpeakerCard() {
  const { actions } = useApp();
  return (
    <section class="card" aria-labelledby="speaker-title" data-testid="speaker-off">
      <span class="card-icon">
        <SpeakerOff />
      </span>
      <div>
        <h2 id="speaker-title">{t("speaker.off")}</h2>
        <p>{t("speaker.off_why")}</p>
        <button type="button" class="button quiet" data-testid="speaker-on" onClick={() => actions.speaker(false)}>
          {t("speaker.on")}
        </button>
      </div>
    </section>
  );
}

function MissedList() {
  const missed = useApp().model.missed.value;
  if (missed.length === 0) return null;
  return (
    <section class="card plain" aria-labelledby="missed-title">
      <h2 id="missed-title">
        {t("missed.title")} <span class="count">{missed.length}</span>
      </h2>
      <ul class="rows" data-testid="missed">
        {missed.map((outcome) => (
          <MissedRow key={outcome.invitation} outcome={outcome} />
        ))}
      </ul>
    </section>
  );
}

function MissedRow({ outcome }: { outcome: Outcome }) {
  const { actions } = useApp();
  const { fromName: name, media, kind, atMs } = outcome;
  const key = kind === "missed_busy" ? "missed.busy" : (`missed.${media}` as const);
  return (
    <li class="row" data-testid={`missed-${outcome.from}`}>
      <span class="row-icon">
        <Missed />
      </span>
      <span class="row-text">
        <strong title={name}>
          <bdi>{name}</bdi>
        </strong>
        <span>{t(key, { when: when(atMs) })}</span>
      </span>
      <span class="row-buttons">
        <MissedButtons
          name={name}
          element={useCallBackFocus(outcome)}
          callBack={() => actions.callBack(outcome)}
          dismissId="dismiss-missed"
          dismiss={() => actions.dismissMissed(outcome)}
        />
      </span>
    </li>
  );
}

/** People, or the calls with them that are over, as soon as there is one. */
function Lists() {
  const { history, view: chosen } = useApp().model;
  const hasRecent = history.value.calls.length > 0;
  const view = hasRecent ? chosen.value : "people";
  return (
    <section class="people" aria-labelledby="people-title">
      <div class="lists-head">
        <h1 id="people-title" tabIndex={-1}>
          {t(view === "people" ? "people.title" : "recent.title")}
        </h1>
        {hasRecent ? (
          <nav class="views" aria-label={t("recent.views")}>
            <View view="people" label={t("people.title")} />
            <View view="recent" label={t("recent.short")} />
          </nav>
        ) : null}
      </div>
      {view === "people" ? <Contacts /> : <Recent />}
    </section>
  );
}

function View({ view, label }: { view: HomeView; label: string }) {
  const { model, actions } = useApp();
  return (
    <button
      type="button"
      class="view"
      data-testid={`view-${view}`}
      aria-current={model.view.value === view ? "page" : undefined}
      onClick={() => actions.view(view)}
    >
      {label}
    </button>
  );
}
