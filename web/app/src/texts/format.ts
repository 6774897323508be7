/** Times and names in the words of this browser's language. */

import { isolated } from "./isolated.ts";
import { t } from "./t.ts";

const DAY_MS = 24 * 3_600_000;

/** `12:31` today, `Mon 12:31` within a week, else the date. */
export function when(atMs: number, nowMs: number = Date.now()): string {
  const at = new Date(atMs);
  if (at.toDateString() === new Date(nowMs).toDateString()) return time(at);
  if (Math.abs(nowMs - atMs) < 6 * DAY_MS)
    return `${new Intl.DateTimeFormat(undefined, { weekday: "short" }).format(at)} ${time(at)}`;
  return new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" }).format(at);
}

/** Stays in one line. */
function unbroken(text: string): string {
  return text.replaceAll(" ", "\u00a0");
}

function time(at: Date): string {
  return unbroken(new Intl.DateTimeFormat(undefined, { timeStyle: "short" }).format(at));
}

/** `3:07`, `1:02:09`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** `Today`, `Yesterday`, `Monday, 23 November`; with the year if it is another one. */
export function day(atMs: number, nowMs: number = Date.now()): string {
  const [at, now] = [new Date(atMs), new Date(nowMs)];
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (at.toDateString() === now.toDateString()) return t("recent.today");
  if (at.toDateString() === yesterday.toDateString()) return t("recent.yesterday");
  const year = at.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year }).format(at);
}

export function clockTime(atMs: number): string {
  return time(new Date(atMs));
}

/** `42 sec`, `3 min`, `1 hr 5 min`. */
export function lasting(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1_000));
  if (seconds < 60) return unit(seconds, "second");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return unit(minutes, "minute");
  const rest = minutes % 60;
  return [unit(Math.floor(minutes / 60), "hour"), ...(rest > 0 ? [unit(rest, "minute")] : [])].join(" ");
}

function unit(count: number, of: "second" | "minute" | "hour"): string {
  return unbroken(new Intl.NumberFormat(undefined, { style: "unit", unit: of, unitDisplay: "short" }).format(count));
}

export function names(list: readonly string[]): string {
  return new Intl.ListFormat(undefined, { type: "conjunction" }).format(list.map(isolated));
}

/** One or two letters for a person without a picture; of a name without letters, the first one that is to be seen. */
export function initials(name: string): string {
  const letters = name.split(/\s+/).flatMap((word) => characters(word).find((one) => /\p{L}/u.test(one)) ?? []);
  const [first = characters(name).find((one) => /[\p{N}\p{P}\p{S}]/u.test(one)) ?? "", ...rest] = letters;
  // Letters of a script that joins them would make a word of their own.
  const between = /\p{Script=Arabic}/u.test(first) ? "\u200c" : "";
  return [first, ...rest.slice(-1)].join(between).toUpperCase();
}

/** As a person counts them. */
function characters(text: string): string[] {
  return [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text)].map(({ segment }) => segment);
}

/** One of six tints, always the same for the same user. */
export function tint(user: string): number {
  return [...user].reduce((sum, char) => (sum * 31 + (char.codePointAt(0) ?? 0)) % 997, 7) % 6;
}
