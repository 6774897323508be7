/** When a call began for this person, kept over a reload: its clock goes on. One call a user, so one entry each. */

import { type Keeper, ofBrowser } from "./storage.ts";

type Times = Pick<Keeper, "getItem" | "setItem">;

/** `joined_at_ms`, or what was remembered of the same meeting before. */
export function since(user: string, meeting: string, joined_at_ms: number, storage: Times = ofBrowser()): number {
  const key = `convoke.call.${user}`;
  const [known, at] = (storage.getItem(key) ?? "").split(" ");
  const at_ms = Number(at);
  if (known === meeting && at_ms > 0 && at_ms <= joined_at_ms) return at_ms;
  try {
    storage.setItem(key, `${meeting} ${joined_at_ms}`);
  } catch {
    // A full storage costs a clock that begins anew, no call.
  }
  return joined_at_ms;
}
