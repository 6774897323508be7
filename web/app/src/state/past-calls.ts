/** Calls that are over, as a list that grows at both ends, and in words. */

import type { History, Outcome, PastCall } from "@convoke/sdk";
import { day, lasting } from "../texts/format.ts";
import { t } from "../texts/t.ts";
import { people } from "./people-in-call.ts";

export interface PastCalls extends History {
  status: "unknown" | "loading" | "known" | "failed";
}

/** The newest page, before what was known already. */
export function withNewest(past: PastCalls, page: History): PastCalls {
  const newest = new Set(page.calls.map(({ meeting }) => meeting));
  const older = past.calls.filter(({ meeting }) => !newest.has(meeting));
  const meets = older.length < past.calls.length;
  return meets
    ? { ...past, status: "known", calls: [...page.calls, ...older] }
    : { status: "known", calls: page.calls, next: page.next };
}

export function withOlder(past: PastCalls, page: History): PastCalls {
  const known = new Set(past.calls.map(({ meeting }) => meeting));
  const older = page.calls.filter(({ meeting }) => !known.has(meeting));
  return { status: "known", calls: [...past.calls, ...older], next: page.next };
}

/** The missed calls that are in the list: a person who has it open has seen them. */
export function missedIn(missed: readonly Outcome[], { calls }: PastCalls): Outcome[] {
  const listed = new Set(calls.map(({ meeting }) => meeting));
  return missed.filter(({ meeting }) => listed.has(meeting));
}

/** Under the heading of its day each. */
export function byDay(calls: readonly PastCall[]): { title: string; calls: PastCall[] }[] {
  const days: { title: string; calls: PastCall[] }[] = [];
  for (const call of calls) {
    const title = day(call.startedAtMs);
    const last = days.at(-1);
    if (last?.title === title) last.calls.push(call);
    else days.push({ title, calls: [call] });
  }
  return days;
}

export function pastNames(call: PastCall): string {
  const named = call.with.map(({ name }) => name);
  return people(named, named.length + call.others) ?? t("past.nobody");
}

export function pastWords({ direction, result, durationMs }: PastCall): string {
  if (result === "answered") return t(`past.${direction}`, { duration: lasting(durationMs ?? 0) });
  if (direction === "made") return t(`past.made_${result === "missed" ? "no_answer" : result}`);
  if (result === "declined" || result === "failed") return t(`past.received_${result}`);
  return t("past.received_missed");
}

/** Who called, or all who were called. */
export function backTo({ direction, with: who }: PastCall): string[] {
  return who.slice(0, direction === "made" ? undefined : 1).map(({ user }) => user);
}

export function isMissed({ direction, result }: PastCall): boolean {
  return direction === "received" && (result === "missed" || result === "no_answer" || result === "busy");
}
