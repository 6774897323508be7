/** The words for the end of a call. */

import type { CallState } from "@convoke/sdk";
import { progressOf } from "@convoke/sdk";
import { t } from "../texts/t.ts";
import { type Contacts, nameOf, OPERATOR } from "./user-name.ts";

export interface EndWords {
  title: string;
  detail?: string;
}

/** The callee of a call of two, or who stands first in the list. */
export function calleeOf(state: CallState): string | undefined {
  return Object.keys(state.progress)[0];
}

export function endWords(state: CallState, contacts: Contacts): EndWords {
  const end = state.end ?? { reason: "left" as const };
  const user = calleeOf(state);
  const name = user ? nameOf(user, state, contacts) : "";
  const progress = user && !state.joinedAtMs ? progressOf(state, user) : undefined;
  if (end.error?.category === "network") return { title: t("end.refused"), detail: t(end.error.text) };
  if (end.error?.code === "refused_not_allowed" && user && !state.joinedAtMs) {
    return { title: t("end.unknown", { name }), detail: t("end.unknown_why") };
  }
  if (end.error) return { title: t(end.error.text), detail: t(end.error.remedy) };
  if (progress?.type === "busy") return { title: t("end.busy", { name }), detail: t("end.busy_why") };
  if (progress?.type === "rejected" || (end.reason === "declined" && end.by !== state.me)) {
    return { title: t("end.declined", { name: name || nameOf(end.by ?? "", state, contacts) }) };
  }
  if (end.reason === "no_answer" && state.direction === "out") {
    return { title: t("end.no_answer"), detail: t("end.no_answer_why", { name }) };
  }
  if (end.reason === "destroyed" && end.by === OPERATOR) return { title: t("end.destroyed_by_operator") };
  return end.reason === "declined" ? { title: t("end.left") } : { title: t(`end.${end.reason}`) };
}

/** What has become of those who were rung into a call that goes on without them. */
export function invitationNews(before: CallState | undefined, state: CallState, contacts: Contacts): string[] {
  if (state.phase !== "joined" || before?.phase !== "joined") return [];
  return Object.entries(state.progress).flatMap(([user, told]) => {
    // A user who has just left the roster is still in the one before.
    const name = nameOf(user, state, [...before.roster.members, ...(contacts ?? [])]);
    if (user === state.me || before.progress[user] === told) return [];
    if (told.type === "busy") return [t("end.busy", { name })];
    if (told.type === "rejected") return [t("end.declined", { name })];
    return told.type === "over" && told.reason === "no_answer" ? [t("live.no_answer", { name })] : [];
  });
}

/** An end that the person did not bring about stays until it has been read. */
export function staysOpen(state: CallState): boolean {
  const end = state.end;
  if (!end || end.by === state.me) return false;
  if (end.reason === "kicked" || end.reason === "refused" || end.reason === "failed") return true;
  return state.direction === "out" && !state.joinedAtMs && end.reason !== "cancelled";
}
