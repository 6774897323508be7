/** The panel beside a call: who is in it, with what the host may do, and who may be invited. */

import { type CallState, type Contact, isHost, isIn, type Member } from "@convoke/sdk";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Confirm } from "./confirm.tsx";
import { Close } from "./icons.tsx";
import { usePresence, useSearched } from "./people.tsx";
import { SmallButton } from "./small-button.tsx";
import { memberWords, progressWords } from "./tile.tsx";

export function SidePanel({ call }: { call: CallState }) {
  const { model, actions } = useApp();
  const panel = model.panel.value;
  const title = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => {
    if (!panel) return;
    title.current?.focus();
    return () => {
      // What had the focus went with the panel: it goes on at the button that opened it.
      if (document.activeElement !== document.body) return;
      document.querySelector<HTMLElement>(`[data-testid=${panel}]`)?.focus();
    };
  }, [panel]);
  const keepFocus = useFocusKept(title);
  if (!panel) return null;
  return (
    <aside class="panel" {...keepFocus} data-testid="panel" aria-labelledby="panel-title">
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

/** A button that goes with its row takes the focus along: then it goes on at the panel's title. */
function useFocusKept(title: { current: HTMLElement | null }) {
  const inside = useRef(false);
  useLayoutEffect(() => {
    if (inside.current && document.activeElement === document.body) title.current?.focus();
  });
  return {
    onFocusIn: () => {
      inside.current = true;
    },
    onFocusOut: ({ relatedTarget }: FocusEvent) => {
      inside.current = relatedTarget === null;
    },
  };
}

function Members({ call }: { call: CallState }) {
  return (
    <>
      <ul class="rows" data-testid="members">
        {call.roster.members.map((member) => (
          <MemberRow key={member.user} member={member} call={call} />
        ))}
      </ul>
      {isHost(call) ? <EndForAll /> : null}
    </>
  );
}

/** Far from *Leave*, which does no harm to others. */
function EndForAll() {
  const { actions } = useApp();
  const [asks, setAsks] = useState(false);
  return (
    <div class="panel-end">
      <button type="button" class="button quiet destroys" data-testid="end-all" onClick={() => setAsks(true)}>
        {t("control.end_all")}
      </button>
      {asks ? (
        <Confirm
          title={t("confirm.end_all")}
          detail={t("confirm.end_all_why")}
          yes={t("control.end_all")}
          no={t("confirm.end_all_no")}
          act={() => actions.endForAll()}
          close={() => setAsks(false)}
        />
      ) : null}
    </div>
  );
}

function MemberRow({ member, call }: { member: Member; call: CallState }) {
  const { user, name } = member;
  const me = user === call.me;
  return (
    <li class="row member" data-testid={`member-${user}`}>
      <Avatar user={user} name={name} />
      <span class="row-text">
        <strong title={name}>{me ? t("call.you_named", { name }) : <bdi>{name}</bdi>}</strong>
        <span>{details(member, call)}</span>
      </span>
      {isRung(member) && mayCancel(call, user) ? <CancelRing user={user} name={name} /> : null}
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

function isRung({ state }: Member): boolean {
  return state === "invited" || state === "ringing";
}

/** The host, and who rings them. */
function mayCancel(call: CallState, user: string): boolean {
  return isHost(call) || call.progress[user] !== undefined;
}

function CancelRing({ user, name }: { user: string; name: string }) {
  const { actions } = useApp();
  const named = t("panel.cancel_named", { name });
  return (
    <SmallButton id="cancel-ring" words={t("panel.cancel")} named={named} press={() => actions.cancelInvite(user)} />
  );
}

interface HostAction {
  id: "ask" | "mute" | "block" | "unblock";
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
  ];
  return (
    <span class="row-actions">
      {doing.map(({ id, press }) => (
        <SmallButton key={id} id={id} words={t(`panel.${id}`)} named={t(`panel.${id}_named`, { name })} press={press} />
      ))}
      <Remove user={user} name={name} />
    </span>
  );
}

function Remove({ user, name }: { user: string; name: string }) {
  const { actions } = useApp();
  const [asks, setAsks] = useState(false);
  return (
    <>
      <SmallButton
        id="kick"
        kind="destroys"
        words={t("panel.kick")}
        named={t("panel.kick_named", { name })}
        press={() => setAsks(true)}
      />
      {asks ? (
        <Confirm
          title={t("confirm.kick", { name })}
          detail={t("confirm.kick_why")}
          yes={t("panel.kick")}
          no={t("confirm.kick_no")}
          act={() => actions.kick(user)}
          close={() => setAsks(false)}
        />
      ) : null}
    </>
  );
}

function InviteList({ call }: { call: CallState }) {
  const { model } = useApp();
  const here = new Set(call.roster.members.filter(isIn).map((member) => member.user));
  const free = (model.contacts.value ?? []).filter((contact) => !here.has(contact.user) && contact.user !== call.me);
  if (free.length === 0) return <p class="quiet-text">{t("panel.invite_none")}</p>;
  return <Invitable contacts={free} call={call} />;
}

function Invitable({ contacts, call }: { contacts: readonly Contact[]; call: CallState }) {
  const { shown, search, hold } = useSearched(contacts);
  return (
    <>
      {search}
      {shown.length === 0 ? <p class="quiet-text">{t("people.none_found")}</p> : null}
      <ul class="rows" data-testid="invitable" {...hold}>
        {shown.map((contact) => (
          <InviteRow key={contact.user} contact={contact} call={call} />
        ))}
      </ul>
    </>
  );
}

function InviteRow({ contact, call }: { contact: Contact; call: CallState }) {
  const { actions } = useApp();
  const { user, name } = contact;
  const { dot, words } = usePresence(contact);
  const rung = call.roster.members.some((member) => member.user === user && isRung(member));
  const asked = !rung && call.progress[user]?.type === "calling";
  const press = () => (rung ? actions.cancelInvite(user) : actions.invite(user));
  return (
    <li class="row" data-testid={`invite-${user}`}>
      <Avatar user={user} name={name} presence={dot} />
      <span class="row-text">
        <strong title={name}>
          <bdi>{name}</bdi>
        </strong>
        <span>{rung || asked ? progressWords(call, user) : words}</span>
      </span>
      {rung && !mayCancel(call, user) ? null : (
        <SmallButton
          id={rung ? "cancel-ring" : "ring"}
          kind={rung ? undefined : "primary"}
          words={t(rung ? "panel.cancel" : "panel.ring")}
          named={t(rung ? "panel.cancel_named" : "panel.ring_named", { name })}
          waits={asked}
          press={press}
        />
      )}
    </li>
  );
}
