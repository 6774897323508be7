/**
 * The start of a call for this person, kept over a reload, so that its clock continues. One call a user, so one entry
 * each.
 */

import { ofBrowser, type PageStorage } from "./storage.ts";

type Times = Pick<PageStorage, "getItem" | "setItem">;

/** `joinedAtMs`, or what was remembered of the same meeting before. */
export function since(user: string, meeting: string, joinedAtMs: number, storage: Times = ofBrowser()): number {
  const key = `convoke.call.${user}`;
  const [known, at] = (storage.getItem(key) ?? "").split(" ");
  const atMs = Number(at);
  if (known === meeting && atMs > 0 && atMs <= joinedAtMs) return atMs;
  try {
    storage.setItem(key, `${meeting} ${joinedAtMs}`);
  } catch {
    // With a full storage the clock restarts; the call goes on.
  }
  return joinedAtMs;
}
