/** The people in a call that this person is not in: some names, and how many more. */

import type { CallState } from "@convoke/sdk";
import { names } from "../texts/format.ts";
import { t } from "../texts/t.ts";

const NAMES_SHOWN = 3;

/** Whether the person is with others, or about to be; not while still calling them. */
export function isTalking(call: Pick<CallState, "phase"> | undefined): boolean {
  return call?.phase === "joined" || call?.phase === "accepting";
}

/** The people besides the caller; undefined if there are none. */
export function alsoThere({ inside, from }: Pick<CallState, "inside" | "from">): string | undefined {
  if (!inside) return undefined;
  const caller = inside.names.indexOf(from?.name ?? "");
  const others = inside.names.filter((_, i) => i !== caller);
  const callerIsIn = caller >= 0 || inside.names.length < inside.members;
  return people(others, inside.members - (callerIsIn ? 1 : 0));
}

/** The people in a call to which one comes back. */
export function inIt({ inside }: Pick<CallState, "inside">): string | undefined {
  const who = inside && people(inside.names, inside.members);
  return who && t("joinable.who", { names: who });
}

/** `Bob, Carol, and 4 more` of `count` people of whom some are named. */
export function people(named: readonly string[], count: number): string | undefined {
  const shown = named.slice(0, NAMES_SHOWN);
  const more = Math.max(count, named.length) - shown.length;
  const list = more > 0 ? [...shown, t("incoming.more", { count: String(more) })] : shown;
  return list.length > 0 ? names(list) : undefined;
}
