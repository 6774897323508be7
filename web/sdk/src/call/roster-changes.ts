/** The changes between two rosters that a person should be told. */

import type { Roster, UserName } from "../wire.ts";
import { isIn } from "./state.ts";

export type RosterNews =
  | { type: "joined"; user: UserName; name: string }
  | { type: "left"; user: UserName; name: string }
  | { type: "lost"; user: UserName; name: string }
  | { type: "back"; user: UserName; name: string };

/** The first roster of a call is no news. */
export function rosterChanges(before: Roster, after: Roster, me: UserName): RosterNews[] {
  if (before.rev === 0) return [];
  const earlier = new Map(before.members.map((member) => [member.user, member]));
  const later = new Set(after.members.filter(isIn).map((member) => member.user));
  const come = after.members.flatMap((member): RosterNews[] => {
    const { user, name, state } = member;
    const old = earlier.get(user);
    if (user === me || !isIn(member)) return [];
    if (!old || !isIn(old)) return [{ type: "joined", user, name }];
    if (state === "lost" && old.state !== "lost") return [{ type: "lost", user, name }];
    return state === "in" && old.state === "lost" ? [{ type: "back", user, name }] : [];
  });
  const gone = before.members
    .filter((member) => isIn(member) && member.user !== me && !later.has(member.user))
    .map(({ user, name }): RosterNews => ({ type: "left", user, name }));
  return [...come, ...gone];
}
