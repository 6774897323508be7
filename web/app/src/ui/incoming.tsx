/** A ring: a native dialog over whatever is on the screen but a call. The first one that rings is shown first. */

import type { CallState } from "@convoke/sdk";
import type { Ringing } from "../state/model.ts";
import { alsoThere, isTalking } from "../state/people-in-call.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Camera, HangUp, Phone } from "./icons.tsx";
import { useModal } from "./modal.ts";
import { RingCards } from "./rings.tsx";

export function IncomingDialog() {
  const { ringing, call } = useApp().model;
  const [first, ...others] = ringing.value;
  return first && !isTalking(call.value) ? <Incoming key={first.key} ringing={first} others={others} /> : null;
}

function Incoming({ ringing: { key, state }, others }: { ringing: Ringing; others: readonly Ringing[] }) {
  const { model, actions } = useApp();
  const dialog = useModal(() => dialog.current?.showModal());
  const name = state.from?.name ?? "";
  const video = state.media === "video";
  const there = alsoThere(state);
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
    >
      <div class="incoming-who">
        <span class="halo">
          <Avatar user={state.from?.user ?? ""} name={name} size="large" />
        </span>
        <p class="eyebrow">{t(video ? "incoming.video" : "incoming.audio")}</p>
        <h2 id="incoming-title" title={name}>
          {t("incoming.calls", { name })}
        </h2>
        {state.title ? (
          <p class="incoming-title" title={state.title}>
            <bdi>{state.title}</bdi>
          </p>
        ) : null}
        {model.call.value && !isGlare(model.call.value, state) ? <p class="hint">{t("incoming.leaves")}</p> : null}
        {there ? <p>{t("incoming.with", { names: there })}</p> : null}
      </div>
      <div class="answers">
        <Answers
          video={video}
          answer={(withVideo) => actions.accept(key, withVideo)}
          decline={() => actions.decline(key)}
        />
        <Silence ringing={key} />
      </div>
      <RingCards rings={others} />
    </dialog>
  );
}

/** Two people call each other: the own call becomes this one, and is not left. */
function isGlare({ progress }: CallState, { from }: CallState): boolean {
  return from !== undefined && Object.keys(progress).join() === from.user;
}

function Silence({ ringing }: { ringing: string }) {
  const { model, actions } = useApp();
  if (model.silenced.value.has(ringing)) return <p class="hint">{t("incoming.silenced")}</p>;
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
    <>
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
    </>
  );
}
