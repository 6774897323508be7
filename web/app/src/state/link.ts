/**
 * What the page's address says: `#login=<secret>[&speaker=off]`. The secret is kept for this tab's reloads and taken out
 * of the address bar, where it would be seen in every screen that is shared.
 */

const SECRET = "convoke.secret";
const SPEAKER = "convoke.speaker";

export interface PageLink {
  secret: string | undefined;
  speaker_off: boolean;
}

export function readLink(hash: string, session: Pick<Storage, "getItem" | "setItem"> = sessionStorage): PageLink {
  const named = new URLSearchParams(hash.replace(/^#/, ""));
  const secret = named.get("login");
  if (secret) {
    session.setItem(SECRET, secret);
    session.setItem(SPEAKER, named.get("speaker") ?? "on");
  }
  return { secret: session.getItem(SECRET) ?? undefined, speaker_off: session.getItem(SPEAKER) === "off" };
}

export function rememberSpeaker(off: boolean): void {
  sessionStorage.setItem(SPEAKER, off ? "off" : "on");
}
