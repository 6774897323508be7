/** Who has blocked this person, in words: the host, somebody who runs the server, or nobody who is known. */

import type { CallState } from "@convoke/sdk";
import { t } from "../texts/t.ts";
import { OPERATOR } from "./user-name.ts";

const WORDS = {
  audio: {
    unknown: "banner.blocked",
    host: "banner.blocked_by_host",
    operator: "banner.blocked_by_operator",
  },
  video: {
    unknown: "banner.blocked_camera",
    host: "banner.blocked_camera_by_host",
    operator: "banner.blocked_camera_by_operator",
  },
} as const;

export function blockWords({ blockedBy }: CallState, track: "audio" | "video"): string {
  const by = blockedBy[track];
  const who = by === undefined ? "unknown" : by === OPERATOR ? "operator" : "host";
  return t(WORDS[track][who]);
}
