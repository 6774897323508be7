/** Rings that keep in the background: beside the first one, or beside a call. Each may be answered and declined. */

import type { Outcome } from "@convoke/sdk";
import { useState } from "preact/hooks";
import type { Ringing } from "../state/model.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { useCallBackFocus } from "./call-back-focus.ts";
import { MissedButtons, SmallButton } from "./small-button.tsx";

export function RingCards({ rings }: { rings: readonly Ringing[] }) {
  if (rings.length === 0) return null;
  return (
    <ul class="ring-cards">
      {rings.map((ringing) => (
        <RingCard key={ringing.key} ringing={ringing} />
      ))}
    </ul>
  );
}

function RingCard({ ringing: { key, state } }: { ringing: Ringing }) {
  const { model, actions } = useApp();
  const { user, name } = state.from ?? { user: "", name: "" };
  const video = state.media === "video";
  return (
    <li class="ring-card" data-testid={`ring-${user}`}>
      <Avatar user={user} name={name} />
      <p role="status">
        <strong title={name}>{t("incoming.calls", { name })}</strong>
        <span>{t(model.call.value ? "incoming.leaves" : video ? "incoming.video" : "incoming.audio")}</span>
      </p>
      <span class="ring-answers">
        <SmallButton
          id="decline-other"
          words={t("incoming.decline")}
          named={t("incoming.decline_named", { name })}
          press={() => actions.decline(key)}
        />
        <SmallButton
          id="accept-other"
          kind="primary"
          words={t("incoming.accept")}
          named={t(video ? "incoming.accept_video_named" : "incoming.accept_audio_named", { name })}
          press={() => actions.accept(key, video)}
        />
      </span>
    </li>
  );
}

/** Callers who got busy while this call was on. */
export function CalledMeanwhile() {
  const { missed, callSinceMs } = useApp().model;
  const meanwhile = missed.value.filter(({ kind, atMs }) => kind === "missed_busy" && atMs >= callSinceMs.value);
  if (meanwhile.length === 0) return null;
  return (
    <ul class="ring-cards">
      {meanwhile.map((outcome) => (
        <CalledCard key={outcome.invitation} outcome={outcome} />
      ))}
    </ul>
  );
}

/** Calling back leaves the call that is on: that is said before it is done. */
function CalledCard({ outcome }: { outcome: Outcome }) {
  const { actions } = useApp();
  const [asks, setAsks] = useState(false);
  const offered = useCallBackFocus(outcome);
  const { from, fromName: name, media } = outcome;
  return (
    <li class="ring-card" data-testid={`called-${from}`}>
      <Avatar user={from} name={name} />
      <p role="status">
        <strong title={name}>{t("meanwhile.called", { name })}</strong>
        <span>{asks ? t("meanwhile.leaves") : t(`recent.${media}`)}</span>
      </p>
      <span class="ring-answers">
        {asks ? (
          <>
            <SmallButton id="stay" words={t("meanwhile.stay")} press={() => setAsks(false)} />
            <SmallButton
              id="leave-and-call"
              kind="primary"
              words={t("meanwhile.leave_and_call")}
              press={() => actions.callBack(outcome)}
            />
          </>
        ) : (
          <MissedButtons
            name={name}
            element={offered}
            callBack={() => setAsks(true)}
            dismissId="dismiss-called"
            dismiss={() => actions.dismissMissed(outcome)}
          />
        )}
      </span>
    </li>
  );
}
