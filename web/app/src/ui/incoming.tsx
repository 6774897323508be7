/** A ring: a native dialog over whatever is on the screen. The first one that rings is shown first. */

import { useEffect, useRef } from "preact/hooks";
import type { Ringing } from "../state/model.ts";
import { alsoThere } from "../state/others.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Camera, HangUp, Phone } from "./icons.tsx";

export function IncomingDialog() {
  const first = useApp().model.ringing.value[0];
  return first ? <Incoming key={first.key} ringing={first} /> : null;
}

function Incoming({ ringing: { key, state } }: { ringing: Ringing }) {
  const { model, actions } = useApp();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    // Closing gives the focus back to where it was.
    return () => element?.close();
  }, []);
  const name = state.from?.name ?? "";
  const video = state.media === "video";
  const others = alsoThere(state);
  return (
    <dialog
      ref={dialog}
      class="incoming"
      data-testid="incoming"
      aria-labelledby="incoming-title"
      onCancel={(event) => {
        event.preventDefault();
        actions.silence();
      }}
      onClose={() => dialog.current?.isConnected && dialog.current.showModal()}
    >
      <span class="halo">
        <Avatar user={state.from?.user ?? ""} name={name} size="large" />
      </span>
      <p class="eyebrow">{t(video ? "incoming.video" : "incoming.audio")}</p>
      <h2 id="incoming-title">{t("incoming.calls", { name })}</h2>
      {state.title ? (
        <p>
          <bdi>{state.title}</bdi>
        </p>
      ) : null}
      {others ? <p>{t("incoming.with", { names: others })}</p> : null}
      {model.call.value ? <p class="hint">{t("incoming.leaves")}</p> : null}
      <Answers
        video={video}
        answer={(withVideo) => actions.accept(key, withVideo)}
        decline={() => actions.decline(key)}
      />
      <Silence />
    </dialog>
  );
}

function Silence() {
  const { model, actions } = useApp();
  if (model.silenced.value) return <p class="hint">{t("incoming.silenced")}</p>;
  return (
    <button
      type="button"
      class="button text"
      data-testid="silence"
      aria-keyshortcuts="Escape"
      title={`${t("incoming.silence")} (Esc)`}
      onClick={() => actions.silence()}
    >
      {t("incoming.silence")}
    </button>
  );
}

function Answers(props: { video: boolean; answer: (video: boolean) => void; decline: () => void }) {
  const { video, answer, decline } = props;
  const audio = (
    <button
      type="button"
      class={`button ${video ? "quiet" : "primary"}`}
      data-testid={video ? "accept-audio" : "accept"}
      onClick={() => answer(false)}
    >
      <Phone />
      {t("incoming.accept_audio")}
    </button>
  );
  return (
    <div class="answers">
      {video ? (
        <button type="button" class="button primary" data-testid="accept" onClick={() => answer(true)}>
          <Camera />
          {t("incoming.accept_video")}
        </button>
      ) : null}
      {audio}
      <button type="button" class="button danger" data-testid="decline" onClick={decline}>
        <HangUp />
        {t("incoming.decline")}
      </button>
    </div>
  );
}
