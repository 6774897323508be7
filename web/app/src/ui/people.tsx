/** The list of people to call: it can be searched where it is long, and keeps still under a finger. */

import type { Contact } from "@convoke/sdk";
import { useEffect, useRef, useState } from "preact/hooks";
import { asBefore, FEW, found, inOrder, isUserId, LISTED_MAX, recentUsers } from "../state/search.ts";
import { when } from "../texts/format.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Camera, Phone } from "./icons.tsx";

export function Contacts() {
  const { model } = useApp();
  const contacts = model.contacts.value;
  if (contacts === undefined) return <p class="quiet-text">{t("people.loading")}</p>;
  if (contacts.length === 0) {
    return (
      <div class="card empty">
        <h2>{t("people.none")}</h2>
        <p>{t("people.none_why")}</p>
      </div>
    );
  }
  return <ContactList contacts={contacts} />;
}

function ContactList({ contacts }: { contacts: readonly Contact[] }) {
  const { shown, wanted, search, hold } = useSearched(contacts);
  const isWhole = contacts.length < LISTED_MAX;
  return (
    <>
      {search}
      {shown.length > 0 ? (
        <ul class="rows contacts" data-testid="contacts" {...hold}>
          {shown.map((contact) => (
            <ContactRow key={contact.user} contact={contact} />
          ))}
        </ul>
      ) : (
        <p class="quiet-text" data-testid="contacts">
          {t("people.none_found")}
        </p>
      )}
      {isWhole ? null : <Unlisted user={shown.length === 0 ? wanted.trim() : ""} />}
    </>
  );
}

/** What is shown of people: in their order, still under a finger, and where they are many, what a search finds. */
export function useSearched(contacts: readonly Contact[]) {
  const { model } = useApp();
  const [wanted, setWanted] = useState("");
  const { list, hold } = useStillOrder(inOrder(contacts, recentUsers(model.history.value.calls)));
  const shown = found(list, wanted);
  const search = contacts.length > FEW ? <Search wanted={wanted} search={setWanted} count={shown.length} /> : null;
  return { shown, wanted, search, hold };
}

/** The service has named only the first: others are found by their whole id. */
function Unlisted({ user }: { user: string }) {
  if (!isUserId(user)) return <p class="quiet-text">{t("people.all_listed")}</p>;
  return (
    <div class="row contact" data-testid={`contact-${user}`}>
      <Avatar user={user} name={user} />
      <span class="row-text">
        <strong>{user}</strong>
        <span>{t("people.by_id")}</span>
      </span>
      <CallButtons name={user} users={[user]} />
    </div>
  );
}

/** `/` brings the keyboard here, from anywhere but another field. */
function Search({ wanted, search, count }: { wanted: string; search: (text: string) => void; count: number }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const inField = (event.target as Element | null)?.closest?.("input, textarea, select, dialog");
      if (event.key !== "/" || inField || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      field.current?.focus();
    };
    document.addEventListener("keydown", focus);
    return () => document.removeEventListener("keydown", focus);
  }, []);
  return (
    <search class="search">
      <input
        ref={field}
        type="search"
        data-testid="search"
        dir="auto"
        autocomplete="off"
        spellcheck={false}
        aria-label={t("people.search")}
        aria-keyshortcuts="/"
        placeholder={t("people.search")}
        title={`${t("people.search")} (/)`}
        value={wanted}
        onInput={({ currentTarget }) => search(currentTarget.value)}
      />
      <span class="hidden" role="status">
        {wanted ? t("people.found", { count: String(count) }) : ""}
      </span>
    </search>
  );
}

/** As long as the pointer or the focus is in the list, its rows stay where they are. */
function useStillOrder(now: readonly Contact[]) {
  const [held, setHeld] = useState(false);
  const before = useRef(now);
  const list = held ? asBefore(before.current, now) : now;
  before.current = list;
  const on = () => setHeld(true);
  const off = ({ currentTarget }: { currentTarget: EventTarget }) => {
    const element = currentTarget as Element;
    // What leaves may be the pointer or the focus, and the other may still be there.
    setTimeout(() => setHeld(element.matches(":hover, :focus-within")));
  };
  return { list, hold: { onPointerEnter: on, onPointerDown: on, onFocusIn: on, onPointerLeave: off, onFocusOut: off } };
}

function ContactRow({ contact }: { contact: Contact }) {
  const { user, name } = contact;
  const { dot, words } = usePresence(contact);
  return (
    <li class="row contact" data-testid={`contact-${user}`}>
      <Avatar user={user} name={name} presence={dot} />
      <span class="row-text">
        <strong title={name}>
          <bdi>{name}</bdi>
        </strong>
        <span data-testid="presence">{words}</span>
      </span>
      <CallButtons name={name} users={[user]} />
    </li>
  );
}

/** Sound alone, or with pictures. */
export function CallButtons({ name, users }: { name: string; users: readonly string[] }) {
  const { actions } = useApp();
  return (
    <>
      <button
        type="button"
        class="icon-button"
        data-testid="call-audio"
        aria-label={t("people.audio_call", { name })}
        title={t("people.audio_call", { name })}
        onClick={() => actions.call(users, false)}
      >
        <Phone />
      </button>
      <button
        type="button"
        class="icon-button accent"
        data-testid="call"
        aria-label={t("people.video_call", { name })}
        title={t("people.video_call", { name })}
        onClick={() => actions.call(users, true)}
      >
        <Camera />
      </button>
    </>
  );
}

/** The last known presence is not shown while the service is away, or until it has confirmed it again. */
export function usePresence(contact: Contact): { dot?: Contact["presence"]; words: string } {
  if (!useApp().model.contactsKnown.value) return { words: t("presence.unknown") };
  return { dot: contact.presence, words: presenceWords(contact) };
}

function presenceWords({ presence, sinceMs }: Contact): string {
  if (presence !== "offline") return t(`presence.${presence}`);
  return sinceMs ? t("presence.offline_since", { when: when(sinceMs) }) : t("presence.offline");
}
