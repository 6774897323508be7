/** Calls that are over, by day, and calling back. */

import type { PastCall } from "@convoke/sdk";
import { useEffect } from "preact/hooks";
import { backTo, byDay, isMissed, pastNames, pastWords } from "../state/past-calls.ts";
import { clockTime } from "../texts/format.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Camera, Missed, Phone } from "./icons.tsx";
import { CallButtons } from "./people.tsx";

export function Recent() {
  const { model, actions } = useApp();
  const { status, calls, next } = model.history.value;
  useEffect(() => actions.showHistory(), [actions]);
  return (
    <>
      {byDay(calls).map((day) => (
        <section key={day.title} class="day" aria-label={day.title}>
          <h2>{day.title}</h2>
          <ul class="rows contacts" data-testid="history">
            {day.calls.map((call) => (
              <PastRow key={call.meeting} call={call} />
            ))}
          </ul>
        </section>
      ))}
      {status === "failed" ? <p class="quiet-text">{t("recent.failed")}</p> : null}
      {next ? (
        <button
          type="button"
          class="button quiet older"
          data-testid="older"
          aria-disabled={status === "loading"}
          onClick={() => actions.olderCalls()}
        >
          {t("recent.older")}
        </button>
      ) : null}
    </>
  );
}

function PastRow({ call }: { call: PastCall }) {
  const first = call.with[0];
  const who = pastNames(call);
  const missed = isMissed(call);
  return (
    <li class="row contact past" data-testid={`past-${first?.user ?? ""}`}>
      <Avatar user={first?.user ?? ""} name={first?.name ?? ""} />
      <span class="row-text">
        <strong title={who}>
          <bdi>{who}</bdi>
        </strong>
        {call.title ? (
          <span>
            <bdi>{call.title}</bdi>
          </span>
        ) : null}
        <span class={missed ? "past-words missed" : "past-words"} data-testid="past-words">
          {missed ? <Missed /> : call.media === "video" ? <Camera /> : <Phone />}
          <span class="hidden">{t(`recent.${call.media}`)}, </span>
          <span>{pastWords(call)}</span> <span class="past-time">{clockTime(call.startedAtMs)}</span>
        </span>
      </span>
      {first ? <CallButtons name={who} users={backTo(call)} /> : null}
    </li>
  );
}
