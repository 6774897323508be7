/** The banners of a call: what is down, what is asked, what does not work and what helps. */

import type { CallState } from "@convoke/sdk";
import type { ComponentChildren } from "preact";
import { blockWords } from "../state/block-words.ts";
import type { Problem } from "../state/model.ts";
import { isTalking } from "../state/people-in-call.ts";
import type { Trouble } from "../state/trouble.ts";
import { nameOf } from "../state/user-name.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Close } from "./icons.tsx";
import { CalledMeanwhile, RingCards } from "./rings.tsx";
import { SmallButton } from "./small-button.tsx";

interface BannerProps {
  id: string;
  kind?: "warning" | "info";
  children: ComponentChildren;
  actions?: readonly { label: string; press: () => void; id: string }[];
  dismiss?: () => void;
  dismissLabel?: string;
}

function Banner({ id, kind = "warning", children, actions = [], dismiss, dismissLabel }: BannerProps) {
  return (
    <div class={`banner ${kind}`} data-testid={`banner-${id}`} role="status">
      <p>{children}</p>
      {actions.map(({ id, label, press }) => (
        <SmallButton key={id} id={id} words={label} press={press} />
      ))}
      {dismiss ? (
        <button type="button" class="icon-button bare" aria-label={dismissLabel ?? t("panel.close")} onClick={dismiss}>
          <Close />
        </button>
      ) : null}
    </div>
  );
}

export function Banners({ call }: { call: CallState }) {
  const { model, actions } = useApp();
  const trouble = model.trouble.value;
  return (
    <div class="banners">
      <RingCards rings={isTalking(call) ? model.ringing.value : []} />
      <CalledMeanwhile />
      {trouble ? <TroubleBanner trouble={trouble} /> : null}
      {call.blocked.audio ? <Banner id="blocked">{blockWords(call, "audio")}</Banner> : null}
      <Asked call={call} track="audio" />
      <Asked call={call} track="video" />
      {model.soundBlocked.value ? (
        <Banner
          id="sound"
          actions={[{ label: t("speaker.unblock"), press: () => actions.unblockSound(), id: "unblock-sound" }]}
        >
          {t("speaker.blocked")}
        </Banner>
      ) : null}
      {model.speakerOff.value ? (
        <Banner
          id="speaker"
          kind="info"
          actions={[{ label: t("speaker.on"), press: () => actions.speaker(false), id: "speaker-on" }]}
        >
          {t("speaker.off")}
        </Banner>
      ) : null}
      {model.problems.value.map((problem) => (
        <ProblemBanner key={`${problem.device}-${problem.error.code}`} problem={problem} />
      ))}
    </div>
  );
}

function TroubleBanner({ trouble }: { trouble: Trouble }) {
  const { actions } = useApp();
  if (trouble.kind !== "no_media") return <Banner id="down">{trouble.words}</Banner>;
  const ways = [
    { label: t("banner.try_again"), press: () => actions.retryMedia(), id: "try-again" },
    { label: t("control.leave"), press: () => actions.leave(), id: "leave-without-media" },
  ];
  return (
    <Banner id="no-media" actions={ways}>
      {trouble.words}
    </Banner>
  );
}

function Asked({ call, track }: { call: CallState; track: "audio" | "video" }) {
  const { model, actions } = useApp();
  const by = call.asked[track];
  if (!by || !call.muted[track]) return null;
  const name = nameOf(by, call, model.contacts.value);
  return (
    <Banner
      id={`asked-${track}`}
      kind="info"
      actions={[
        {
          label: t(track === "audio" ? "control.unmute" : "control.camera_on"),
          press: () => actions.answerAsk(track, true),
          id: "answer-ask",
        },
      ]}
      dismiss={() => actions.answerAsk(track, false)}
      dismissLabel={t("banner.not_now")}
    >
      {t(track === "audio" ? "banner.asked" : "banner.asked_camera", { name })}
    </Banner>
  );
}

function ProblemBanner({ problem }: { problem: Problem }) {
  const { actions } = useApp();
  const { device, error } = problem;
  return (
    <Banner id={device ?? "problem"} kind="info" dismiss={() => actions.dismissProblem(problem)}>
      {device ? <strong>{t(`device.${device}`)} </strong> : null}
      {t(error.text)} {t(error.remedy)}
    </Banner>
  );
}
