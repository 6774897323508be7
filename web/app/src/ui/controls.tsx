/** The bar of a call. Each button says what pressing it does. */

import type { CallState } from "@convoke/sdk";
import type { ComponentChildren } from "preact";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Camera, CameraOff, HangUp, Invite, Mic, MicOff, People, Shield, Speaker, SpeakerOff } from "./icons.tsx";

interface ControlProps {
  id: string;
  label: string;
  icon: ComponentChildren;
  press: () => void;
  shortcut?: string;
  kind?: string;
  expanded?: boolean;
  /** Why it can do nothing now. */
  barred?: string;
}

function Control({ id, label, icon, press, shortcut, kind = "", expanded, barred }: ControlProps) {
  return (
    <button
      type="button"
      class={`control ${kind}`}
      data-testid={id}
      aria-keyshortcuts={shortcut}
      aria-expanded={expanded}
      aria-disabled={barred ? true : undefined}
      title={barred ?? (shortcut ? `${label} (${shortcut})` : label)}
      onClick={() => barred || press()}
    >
      <span class="control-disc">{icon}</span>
      <span class="control-label">{label}</span>
    </button>
  );
}

const NOTHING = () => {};

export function Controls({ call }: { call: CallState }) {
  const { model, actions } = useApp();
  const joined = call.phase === "joined";
  const { muted, blocked } = call;
  const panel = model.panel.value;
  const toggle = (name: "people" | "invite") => () => actions.panel(panel === name ? undefined : name);
  return (
    <nav class="controls" aria-label={t("call.controls")}>
      {blocked.audio ? (
        <Control id="mic" label={t("control.blocked")} icon={<Shield />} barred={t("banner.blocked")} press={NOTHING} />
      ) : (
        <Control
          id="mic"
          label={t(muted.audio ? "control.unmute" : "control.mute")}
          icon={muted.audio ? <MicOff /> : <Mic />}
          kind={muted.audio ? "off" : ""}
          shortcut="M"
          press={() => actions.toggleMicrophone()}
        />
      )}
      {blocked.video ? (
        <Control
          id="camera"
          label={t("control.blocked_camera")}
          icon={<Shield />}
          barred={t("banner.blocked_camera")}
          press={NOTHING}
        />
      ) : (
        <Control
          id="camera"
          label={t(muted.video ? "control.camera_on" : "control.camera_off")}
          icon={muted.video ? <CameraOff /> : <Camera />}
          kind={muted.video ? "off" : ""}
          shortcut="V"
          press={() => actions.toggleCamera()}
        />
      )}
      {joined ? <SpeakerControl /> : null}
      {joined ? (
        <>
          <Control
            id="people"
            label={t("control.people")}
            icon={<People />}
            shortcut="P"
            expanded={panel === "people"}
            press={toggle("people")}
          />
          <Control
            id="invite"
            label={t("control.invite")}
            icon={<Invite />}
            shortcut="I"
            expanded={panel === "invite"}
            press={toggle("invite")}
          />
        </>
      ) : null}
      <Control
        id="leave"
        label={t(joined ? "control.leave" : "control.cancel")}
        icon={<HangUp />}
        kind="danger"
        press={() => actions.leave()}
      />
    </nav>
  );
}

function SpeakerControl() {
  const { model, actions } = useApp();
  const off = model.speaker_off.value;
  return (
    <Control
      id="speaker"
      label={t(off ? "control.speaker_on" : "control.speaker_off")}
      icon={off ? <SpeakerOff /> : <Speaker />}
      kind={off ? "off" : ""}
      press={() => actions.speaker(!off)}
    />
  );
}
