/** One person in a call: picture or initials, name, and what is off, blocked or lost. */

import { type CallState, type Member, progressOf } from "@convoke/sdk";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { when } from "../texts/format.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { MicOff, Shield } from "./icons.tsx";
import { Picture } from "./media.tsx";

const LEVEL_EVERY_MS = 200;
/** A picture that was on again has so long for its first frame. */
const SETTLED_MS = 1_500;
const SPEAKS_ABOVE = 0.02;

export function Tile({ member, call }: { member: Member; call: CallState }) {
  const { model } = useApp();
  const tile = useRef<HTMLElement>(null);
  void model.mediaVersion.value;
  const { user, name, participation, state, muted, blocked } = member;
  const media = model.media.value;
  const track = participation && !muted?.video && !blocked?.video ? media?.track(participation, "camera") : undefined;
  const silent = muted?.audio || blocked?.audio;
  const still = useStill(track, () => (participation ? (media?.isStill(participation) ?? false) : false));
  useLevel(tile, () => (participation && !silent ? (media?.level(participation) ?? 0) : 0));
  return (
    <article ref={tile} class={`tile ${state} ${still ? "still" : ""}`} data-testid={`tile-${user}`} aria-label={name}>
      <Avatar user={user} name={name} size="large" />
      {track ? <Picture track={track} label={name} /> : null}
      {state === "in" && !still ? null : (
        <p class="tile-state">{state === "in" ? t("tile.still") : memberWords(member, call)}</p>
      )}
      <Caption name={name}>
        {muted?.audio ? <Mark label={t("tile.muted")} id="muted" icon={<MicOff />} /> : null}
        {blocked?.audio ? <Mark label={t("tile.blocked")} id="blocked" icon={<Shield />} wide /> : null}
      </Caption>
    </article>
  );
}

export function SelfTile({ call, apart }: { call: CallState; apart?: boolean }) {
  const { model } = useApp();
  void model.mediaVersion.value;
  const track = model.media.value?.own("camera");
  const name = model.name.value;
  return (
    <article class={`tile in ${apart ? "self" : ""}`} data-testid="self" aria-label={t("call.you_named", { name })}>
      <Avatar user={model.user.value} name={name} size="large" />
      {track ? <Picture track={track} mirrored label={t("call.you")} /> : null}
      <Caption name={t("call.you")}>
        {call.muted.audio ? <Mark label={t("tile.muted")} id="muted" icon={<MicOff />} /> : null}
        {call.blocked.audio ? <Mark label={t("tile.blocked")} id="blocked" icon={<Shield />} /> : null}
      </Caption>
    </article>
  );
}

function Caption({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <p class="caption">
      <bdi class="caption-name" title={name}>
        {name}
      </bdi>
      {children}
    </p>
  );
}

function Mark({ label, id, icon, wide }: { label: string; id: string; icon: ComponentChildren; wide?: boolean }) {
  return (
    <span class={`mark ${id}`} data-testid={`mark-${id}`} title={label}>
      {icon}
      <span class={wide ? "" : "hidden"}>{label}</span>
    </span>
  );
}

/** The words for a member's state. */
export function memberWords(member: Member, call: CallState): string {
  if (member.state === "joining") return t("tile.joining");
  if (member.state === "lost") return t("tile.lost");
  if (member.state === "no_media") return t("tile.no_media");
  if (member.state === "in") return t("panel.in");
  return progressWords(call, member.user);
}

export function progressWords(call: CallState, user: string): string {
  const progress = progressOf(call, user);
  return progress.type === "waiting" ? t("call.waiting", { when: when(progress.untilMs) }) : t(`call.${progress.type}`);
}

/** Whether a picture that has been there has stopped; looked up several times a second. */
function useStill(track: MediaStreamTrack | undefined, look: () => boolean): boolean {
  const [still, setStill] = useState(false);
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => {
    setStill(false);
    if (!track) return;
    const shownMs = performance.now();
    const timer = setInterval(() => {
      const still = latest.current();
      setStill(still && performance.now() - shownMs > SETTLED_MS);
    }, LEVEL_EVERY_MS);
    return () => clearInterval(timer);
  }, [track]);
  return still;
}

/** Marks who speaks, without a render for each change. */
function useLevel(tile: { current: HTMLElement | null }, level: () => number): void {
  const latest = useRef(level);
  latest.current = level;
  useEffect(() => {
    const timer = setInterval(
      () => tile.current?.classList.toggle("speaks", latest.current() > SPEAKS_ABOVE),
      LEVEL_EVERY_MS,
    );
    return () => clearInterval(timer);
  }, [tile]);
}
