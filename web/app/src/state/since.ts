/** When a call began for this person, kept over a reload: its clock goes on. One call a user, so one entry each. */

type Keeper = Pick<Storage, "getItem" | "setItem">;

/** `joined_at_ms`, or what was remembered of the same meeting before. */
export function since(user: string, meeting: string, joined_at_ms: number, storage = browser()): number {
  const key = `convoke.call.${user}`;
  try {
    const [known, at] = (storage?.getItem(key) ?? "").split(" ");
    const at_ms = Number(at);
    if (known === meeting && at_ms > 0 && at_ms <= joined_at_ms) return at_ms;
    storage?.setItem(key, `${meeting} ${joined_at_ms}`);
  } catch {
    // A full or forbidden storage costs a clock that begins anew, no call.
  }
  return joined_at_ms;
}

function browser(): Keeper | undefined {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
