/**
 * The page's link, `#login=<secret>[&speaker=off]`, and what a tab remembers of it for its reloads: the account, and
 * whether its speaker is off. The secret is not among it.
 */

import { ofTab, type PageStorage } from "./storage.ts";

const SPEAKER = "convoke.speaker";
const ACCOUNT = "convoke.account";

export interface PageLink {
  secret: string | undefined;
  speakerOff: boolean;
}

export function readLink(hash: string, session: PageStorage = ofTab()): PageLink {
  const named = new URLSearchParams(hash.replace(/^#/, ""));
  const secret = named.get("login") ?? undefined;
  if (secret) session.setItem(SPEAKER, named.get("speaker") ?? "on");
  return { secret, speakerOff: session.getItem(SPEAKER) === "off" };
}

export function rememberSpeaker(off: boolean): void {
  ofTab().setItem(SPEAKER, off ? "off" : "on");
}

/** Whose tab this is. */
export function tabAccount(session: PageStorage = ofTab()): string | undefined {
  return session.getItem(ACCOUNT) ?? undefined;
}

export function rememberAccount(account: string | undefined, session: PageStorage = ofTab()): void {
  if (account === undefined) session.removeItem(ACCOUNT);
  else session.setItem(ACCOUNT, account);
}
