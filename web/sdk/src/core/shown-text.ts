/**
 * Names and titles, fit to be shown.
 *
 * The server takes no text with control or direction characters, and none without anything to see. What was stored before
 * it had that rule is shown without them, so that no name can turn the sentence round in which it stands.
 */

/** Control characters, embeddings, overrides, isolates, and what ends a line or a paragraph. */
const UNFIT = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
/** What leaves nothing to see, by itself or in any number. */
const UNSEEN = /^[\s\p{Default_Ignorable_Code_Point}\u2800]*$/u;

/** Without the characters that may not stand in a shown text; empty if nothing is to be seen then. */
export function shownText(text: string): string {
  const fit = text.replace(UNFIT, "");
  return UNSEEN.test(fit) ? "" : fit;
}

/** A user's name; the user id if there is nothing to be seen of the name. */
export function shownName(name: string, user: string): string {
  return shownText(name) || user;
}

/** For `JSON.parse`: all names and titles of a signal, fit to be shown. */
export function withShownTexts(this: unknown, key: string, value: unknown): unknown {
  const { user, from } = this as { user?: string; from?: string };
  if (key === "names" && Array.isArray(value)) return value.map((name) => shownText(String(name))).filter(Boolean);
  if (typeof value !== "string") return value;
  if (key === "name") return shownName(value, user ?? "");
  if (key === "from_name") return shownName(value, from ?? "");
  return key === "title" ? shownText(value) || undefined : value;
}
