/** Beside a call: who is in it, with what the host may do, and who may be invited. */

import { type CallState, type Contact, isHost, type Member } from "@convoke/sdk";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Close } from "./icons.tsx";
import { usePresence } from "./people.tsx";
import { memberWords } from "./tile.tsx";

export function SidePanel({ call }: { call: CallState }) {
  const { model, actions } = useApp();
  const panel = model.panel.value;
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!panel) return;
    title.current?.focus();
    return () => {
      // What had the focus went with the panel: it goes on at the button that opened it.
      if (document.activeElement !== document.body) return;
      document.querySelector<HTMLElement>(`[data-testid=${panel}]`)?.focus();
    };
  }, [panel]);
  if (!panel) return null;
  return (
    <aside class="panel" data-testid="panel" aria-labelledby="panel-title">
      <header>
        <h2 id="panel-title" ref={title} tabIndex={-1}>
          {t(panel === "people" ? "panel.people" : "panel.invite")}
        </h2>
        <button
          type="button"
          class="icon-button bare"
          aria-label={t("panel.close")}
          onClick={() => actions.panel(undefined)}
        >
          <Close />
        </button>
      </header>
      {panel === "people" ? <Members call={call} /> : <InviteList call={call} />}
    </aside>
  );
}

function Members({ call }: { call: CallState }) {
  return (
    <ul class="rows" data-testid="members">
      {call.roster.members.map((member) => (
        <MemberRow key={member.user} member={member} call={call} />
      ))}
    </ul>
  );
}

function MemberRow({ member, call }: { member: Member; call: CallState }) {
  const { user, name } = member;
  const me = user === call.me;
  return (
    <li class="row member" data-testid={`member-${user}`}>
      <Avatar user={user} name={name} />
      <span class="row-text">
        <strong>{me ? t("call.you_named", { name }) : <bdi>{name}</bdi>}</strong>
        <span>{details(member, call)}</span>
      </span>
      {isHost(call) && !me && member.participation ? <HostActions member={member} /> : null}
    </li>
  );
}

function details(member: Member, call: CallState): string {
  const words = [
    call.roster.host === member.user ? t("tile.host") : "",
    memberWords(member, call),
    member.blocked?.audio ? t("tile.blocked") : member.muted?.audio ? t("tile.muted") : "",
  ];
  return words.filter(Boolean).join(" · ");
}

interface HostAction {
  id: "ask" | "mute" | "block" | "unblock" | "kick";
  press: () => void;
}

function HostActions({ member }: { member: Member }) {
  const { actions } = useApp();
  const { user, name, muted, blocked } = member;
  const doing: readonly HostAction[] = [
    muted?.audio
      ? { id: "ask", press: () => actions.askUnmute(user) }
      : { id: "mute", press: () => actions.muteMember(user) },
    blocked?.audio
      ? { id: "unblock", press: () => actions.block(user, false) }
      : { id: "block", press: () => actions.block(user, true) },
    { id: "kick", press: () => actions.kick(user) },
  ];
  return (
    <span class="row-actions">
      {doing.map(({ id, press }) => (
        <button
          key={id}
          type="button"
          class="button small"
          data-testid={id}
          aria-label={t(`panel.${id}_named`, { name })}
          onClick={press}
        >
          {t(`panel.${id}`)}
        </button>
      ))}
    </span>
  );
}

function InviteList({ call }: { call: CallState }) {
  const { model } = useApp();
  const here = new Set(call.roster.members.map((member) => member.user));
  const free = (model.contacts.value ?? []).filter((contact) => !here.has(contact.user) && contact.user !== call.me);
  if (free.length === 0) return <p class="quiet-text">{t("panel.invite_none")}</p>;
  return (
    <ul class="rows" data-testid="invitable">
      {free.map((contact) => (
        <InviteRow key={contact.user} contact={contact} call={call} />
      ))}
    </ul>
  );
}

function InviteRow({ contact, call }: { contact: Contact; call: CallState }) {
  const { actions } = useApp();
  const { user, name } = contact;
  const { dot, words } = usePresence(contact);
  const asked = call.progress[user]?.is === "calling";
  return (
    <li class="row" data-testid={`invite-${user}`}>
      <Avatar user={user} name={name} presence={dot} />
      <span class="row-text">
        <strong>
          <bdi>{name}</bdi>
        </strong>
        <span>{asked ? t("call.calling") : words}</span>
      </span>
      <button
        type="button"
        class="button small primary"
        data-testid="ring"
        aria-label={t("panel.ring_named", { name })}
        aria-disabled={asked}
        onClick={() => asked || actions.invite(user)}
      >
        {t("panel.ring")}
      </button>
    </li>
  );
}
