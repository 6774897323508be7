/** What of a call is down at present, in words that are true. */

import type { CallState } from "@convoke/sdk";
import { t } from "../texts/t.ts";

/** Pictures and sound go on only where something has just come in. */
export function downWords({ path, path_error, phase, signalling }: CallState): string | undefined {
  if (path === "failed" && path_error) return `${t(path_error.text)} ${t(path_error.remedy)}`;
  if (signalling === "down") return t(path === "up" && phase === "joined" ? "banner.signalling" : "banner.both");
  return path === "lost" || path === "failed" ? t("banner.media") : undefined;
}
