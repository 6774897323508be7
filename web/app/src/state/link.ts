/**
 * What the page's address says: `#login=<secret>[&speaker=off]`, and what a tab remembers for its reloads: whose it is
 * and whether its speaker is off. The secret is not among it.
 */

const SPEAKER = "convoke.speaker";
const ACCOUNT = "convoke.account";

export interface PageLink {
  secret: string | undefined;
  speaker_off: boolean;
}

type Session = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export function readLink(hash: string, session: Session = tab()): PageLink {
  const named = new URLSearchParams(hash.replace(/^#/, ""));
  const secret = named.get("login") ?? undefined;
  if (secret) session.setItem(SPEAKER, named.get("speaker") ?? "on");
  return { secret, speaker_off: session.getItem(SPEAKER) === "off" };
}

export function rememberSpeaker(off: boolean): void {
  tab().setItem(SPEAKER, off ? "off" : "on");
}

/** Whose tab this is. */
export function tabAccount(session: Session = tab()): string | undefined {
  return session.getItem(ACCOUNT) ?? undefined;
}

export function rememberAccount(account: string | undefined, session: Session = tab()): void {
  if (account === undefined) session.removeItem(ACCOUNT);
  else session.setItem(ACCOUNT, account);
}

/** Some browsers throw at the mere question, where a person lets a page keep nothing. */
function tab(): Session {
  try {
    return sessionStorage;
  } catch {
    return { getItem: () => null, setItem: () => {}, removeItem: () => {} };
  }
}
