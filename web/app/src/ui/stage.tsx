/** A call, from the first ring to its end: pictures, what is wrong, and what can be done. */

import { type CallState, isIn, type Member } from "@convoke/sdk";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { inIt } from "../state/people-in-call.ts";
import { nameOf } from "../state/user-name.ts";
import { duration, names } from "../texts/format.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Banners } from "./banners.tsx";
import { Controls } from "./controls.tsx";
import { Voices } from "./media.tsx";
import { Notices } from "./notices.tsx";
import { SidePanel } from "./panel.tsx";
import { progressWords, SelfTile, Tile } from "./tile.tsx";
import { Tiles } from "./tiles.tsx";

/** With fewer others one's own picture stands apart, in a corner of theirs. */
const SELF_IN_GRID_FROM = 2;

export function Stage({ call }: { call: CallState }) {
  const { model } = useApp();
  const members = call.roster.members.filter((member) => member.user !== call.me);
  const apart = call.phase !== "joined" || members.length < SELF_IN_GRID_FROM;
  return (
    <div class={`stage ${model.panel.value ? "with-panel" : ""}`}>
      <StageHeader call={call} />
      <div class="stage-body">
        <Banners call={call} />
        <main id="main" class="stage-main" aria-label={t("call.stage")}>
          {call.phase === "joined" ? <Grid call={call} members={members} withSelf={!apart} /> : <Calling call={call} />}
          {apart ? <SelfTile call={call} apart /> : null}
        </main>
      </div>
      <SidePanel call={call} />
      <Controls call={call} />
      <Voices />
    </div>
  );
}

function StageHeader({ call }: { call: CallState }) {
  const list = useOthers(call).map((person) => person.name);
  const title = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => title.current?.focus(), []);
  const words = headWords(call, list);
  return (
    <header class="stage-header">
      <h1 ref={title} tabIndex={-1} title={words}>
        {words}
      </h1>
      <div class="stage-news">
        <span class="stage-state" data-testid="state" role="status">
          {stateWords(call)}
        </span>
        <Notices />
      </div>
      {call.joinedAtMs ? <Clock sinceMs={call.joinedAtMs} /> : null}
    </header>
  );
}

function headWords(call: CallState, others: readonly string[]): string {
  if (others.length > 0) return t("call.with", { names: names(others) });
  return call.phase === "accepting" ? (inIt(call) ?? t("call.connecting")) : t("call.alone");
}

function stateWords(call: CallState): string {
  if (call.phase === "accepting") return t("call.connecting");
  if (call.phase === "joined") return call.path === "idle" || call.path === "connecting" ? t("call.connecting") : "";
  const callee = Object.keys(call.progress)[0];
  return callee ? progressWords(call, callee) : t("call.calling");
}

function Clock({ sinceMs }: { sinceMs: number }) {
  const { actions } = useApp();
  const [nowMs, setNow] = useState(actions.nowMs());
  useEffect(() => {
    const timer = setInterval(() => setNow(actions.nowMs()), 1_000);
    return () => clearInterval(timer);
  }, [actions]);
  return (
    <span class="clock" role="timer" aria-label={t("call.duration")}>
      {duration(nowMs - sinceMs)}
    </span>
  );
}

function Grid({ call, members, withSelf }: { call: CallState; members: readonly Member[]; withSelf: boolean }) {
  const { model } = useApp();
  const shown = [...members.filter(isIn), ...members.filter((member) => !isIn(member))];
  if (shown.length === 0) {
    return (
      <div class="calling">
        <Avatar user={model.user.value} name={model.name.value} size="large" />
        <h2>{t("call.alone")}</h2>
      </div>
    );
  }
  return (
    <Tiles count={shown.length + (withSelf ? 1 : 0)}>
      {shown.map((member) => (
        <Tile key={member.user} member={member} call={call} />
      ))}
      {withSelf ? <SelfTile call={call} /> : null}
    </Tiles>
  );
}

function Calling({ call }: { call: CallState }) {
  const { model } = useApp();
  const people = useOthers(call);
  const words = (user: string) => (call.phase === "accepting" ? t("call.connecting") : progressWords(call, user));
  return (
    <div class="calling" data-testid="calling">
      {people.length === 0 ? (
        <Callee user={model.user.value} name={model.name.value} title={t("joinable.going")} />
      ) : null}
      {people.map(({ user, name }) => (
        <Callee key={user} user={user} name={name} title={name} words={words(user)} />
      ))}
    </div>
  );
}

function Callee({ user, name, title, words }: { user: string; name: string; title: string; words?: string }) {
  return (
    <div class="callee">
      <span class="halo">
        <Avatar user={user} name={name} size="large" />
      </span>
      <h2 class="long-name" title={title}>
        <bdi>{title}</bdi>
      </h2>
      {words ? <p data-testid={`progress-${user}`}>{words}</p> : null}
    </div>
  );
}

/** Everybody else whom this call is about: callees and members, and who rang. */
function useOthers(call: CallState): { user: string; name: string }[] {
  const contacts = useApp().model.contacts.value;
  const members = call.roster.members.map(({ user }) => user);
  const users = new Set([...members, ...(call.from ? [call.from.user] : []), ...Object.keys(call.progress)]);
  users.delete(call.me);
  return [...users].map((user) => ({ user, name: nameOf(user, call, contacts) }));
}
