/** The bar of a call. Each button says what pressing it does. */

import type { CallState } from "@convoke/sdk";
import type { ComponentChildren } from "preact";
import { blockWords } from "../state/block-words.ts";
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

export function Controls({ call }: { call: CallState }) {
  const { model, actions } = useApp();
  const joined = call.phase === "joined";
  const panel = model.panel.value;
  const toggle = (name: "people" | "invite") => () => actions.panel(panel === name ? undefined : name);
  return (
    <nav class="controls" aria-label={t("call.controls")}>
      <TrackControl call={call} track="audio" press={() => actions.toggleMicrophone()} />
      <TrackControl call={call} track="video" press={() => actions.toggleCamera()} />
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

const TRACKS = {
  audio: {
    id: "mic",
    shortcut: "M",
    on: { icon: <Mic />, label: "control.mute" },
    off: { icon: <MicOff />, label: "control.unmute" },
    blocked: "control.blocked",
  },
  video: {
    id: "camera",
    shortcut: "V",
    on: { icon: <Camera />, label: "control.camera_off" },
    off: { icon: <CameraOff />, label: "control.camera_on" },
    blocked: "control.blocked_camera",
  },
} as const;

/** What is blocked cannot be turned on or off here. */
function TrackControl({ call, track, press }: { call: CallState; track: "audio" | "video"; press: () => void }) {
  const { id, shortcut, on, off, blocked } = TRACKS[track];
  if (call.blocked[track]) {
    return <Control id={id} label={t(blocked)} icon={<Shield />} barred={blockWords(call, track)} press={press} />;
  }
  const isOff = call.muted[track];
  const { icon, label } = isOff ? off : on;
  return <Control id={id} label={t(label)} icon={icon} kind={isOff ? "off" : ""} shortcut={shortcut} press={press} />;
}

function SpeakerControl() {
  const { model, actions } = useApp();
  const off = model.speakerOff.value;
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
