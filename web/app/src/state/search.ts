/** The order of a list of people, and the search in it. */

import type { Contact, PastCall } from "@convoke/sdk";

/** Up to so many stand as the service lists them, by name, and need no search. */
export const FEW = 10;
/** The service names no more. */
export const LISTED_MAX = 200;
const RECENT_SHOWN = 5;

/** Those of the last calls first, then who can be reached, then the rest; each by name, as the service lists them. */
export function inOrder(contacts: readonly Contact[], recent: readonly string[]): readonly Contact[] {
  if (contacts.length <= FEW) return contacts;
  const last = recent.flatMap((user) => contacts.find((contact) => contact.user === user) ?? []).slice(0, RECENT_SHOWN);
  const others = contacts.filter((contact) => !last.includes(contact));
  const isReachable = ({ presence }: Contact) => presence !== "offline";
  return [...last, ...others.filter(isReachable), ...others.filter((contact) => !isReachable(contact))];
}

/** As it was, with what each does now: no row moves under a finger. New ones come last. */
export function asBefore(before: readonly Contact[], now: readonly Contact[]): readonly Contact[] {
  const left = new Map(now.map((contact) => [contact.user, contact]));
  const stay = before.flatMap(({ user }) => {
    const contact = left.get(user);
    left.delete(user);
    return contact ?? [];
  });
  return [...stay, ...left.values()];
}

/** By a part of the name or of the user id; accents and case do not count. */
export function found(contacts: readonly Contact[], wanted: string): readonly Contact[] {
  const words = plain(wanted).split(/\s+/).filter(Boolean);
  return contacts.filter(({ user, name }) => words.every((word) => plain(`${name} ${user}`).includes(word)));
}

export function isUserId(text: string): boolean {
  return /^[\w.@+-]{1,64}$/.test(text);
}

/** Whom the last calls were with, the latest first. */
export function recentUsers(calls: readonly PastCall[]): string[] {
  return [...new Set(calls.flatMap((call) => call.with.map(({ user }) => user)))];
}

function plain(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
