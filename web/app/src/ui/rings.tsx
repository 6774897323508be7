/** Rings that keep in the background: beside the first one, or beside a call. Each may be answered and declined. */

import type { Outcome } from "@convoke/sdk";
import { useState } from "preact/hooks";
import type { Ringing } from "../state/model.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Close } from "./icons.tsx";
import { useOffered } from "./offered.ts";

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
        <button
          type="button"
          class="button small"
          data-testid="decline-other"
          aria-label={t("incoming.decline_named", { name })}
          onClick={() => actions.decline(key)}
        >
          {t("incoming.decline")}
        </button>
        <button
          type="button"
          class="button small primary"
          data-testid="accept-other"
          aria-label={t(video ? "incoming.accept_video_named" : "incoming.accept_audio_named", { name })}
          onClick={() => actions.accept(key, video)}
        >
          {t("incoming.accept")}
        </button>
      </span>
    </li>
  );
}

/** Who called while this call was on and was told that it is. */
export function CalledMeanwhile() {
  const { missed, call_since_ms } = useApp().model;
  const meanwhile = missed.value.filter(({ kind, at_ms }) => kind === "missed_busy" && at_ms >= call_since_ms.value);
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
  const offered = useOffered(outcome);
  const { from, from_name: name, media } = outcome;
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
            <button type="button" class="button small" data-testid="stay" onClick={() => setAsks(false)}>
              {t("meanwhile.stay")}
            </button>
            <button
              type="button"
              class="button small primary"
              data-testid="leave-and-call"
              onClick={() => actions.callBack(outcome)}
            >
              {t("meanwhile.leave_and_call")}
            </button>
          </>
        ) : (
          <>
            <button
              type="button"
              class="button small"
              ref={offered}
              data-testid="call-back"
              aria-label={t("missed.call_back", { name })}
              onClick={() => setAsks(true)}
            >
              {t("missed.call_back_short")}
            </button>
            <button
              type="button"
              class="icon-button bare"
              data-testid="dismiss-called"
              aria-label={t("missed.dismiss", { name })}
              onClick={() => actions.dismissMissed(outcome)}
            >
              <Close />
            </button>
          </>
        )}
      </span>
    </li>
  );
}
