/** A person without a picture: initials on a tint that is always theirs. */

import type { Presence } from "@convoke/sdk";
import { initials, tint } from "../texts/format.ts";

export function Avatar({
  user,
  name,
  presence,
  size,
}: {
  user: string;
  name: string;
  presence?: Presence;
  size?: "large";
}) {
  return (
    <span class={`avatar tint-${tint(user)} ${size ?? ""}`} aria-hidden="true">
      {initials(name)}
      {presence ? <span class={`dot ${presence}`} /> : null}
    </span>
  );
}
