/**
 * What of a call is down at present, in words that are true and stand long enough to be read.
 *
 * Pictures and sound go on only where they have just come in, and have for a while; where they stop, the words do at once.
 */

import type { CallState } from "@convoke/sdk";
import { t } from "../texts/t.ts";

/** `service`: pictures and sound go on without it. `no_media`: they do not come about, though they are still being tried. */
export type TroubleKind = "service" | "connection" | "media" | "no_media";

export interface Trouble {
  kind: TroubleKind;
  words: string;
}

type Facts = Pick<CallState, "path" | "path_error" | "phase" | "signalling">;

/** A connection that is back sooner is no trouble. */
const SHOWN_AFTER_MS = 600;
/** What is shown stands at least so long. */
const READ_MS = 1_200;
/** Pictures and sound have come in for so long before they are said to go on; longer once that was wrong. */
const GO_ON_MS = 1_500;
const GO_ON_AGAIN_MS = 6_000;

export class TroubleWatch {
  #shown: Trouble | undefined;
  #shown_ms = 0;
  /** Since when the service has been away. */
  #away_ms: number | undefined;
  /** Since when pictures or sound have come in without a break while it is away. */
  #receives_ms: number | undefined;
  #wasWrong = false;

  /** To be asked several times a second, and whenever the call changes. */
  look(call: Facts, receives: boolean, now_ms: number): Trouble | undefined {
    this.#follow(call, receives, now_ms);
    const trouble = this.#trouble(call, now_ms);
    if (trouble?.words === this.#shown?.words) return this.#shown;
    const isWrong = this.#shown?.kind === "service" && trouble !== undefined;
    if (isWrong) this.#wasWrong = true;
    if (this.#shown && !isWrong && now_ms - this.#shown_ms < READ_MS) return this.#shown;
    this.#shown = trouble;
    this.#shown_ms = now_ms;
    return trouble;
  }

  #follow({ signalling }: Facts, receives: boolean, now_ms: number): void {
    if (signalling === "up") {
      this.#away_ms = this.#receives_ms = undefined;
      this.#wasWrong = false;
      return;
    }
    this.#away_ms ??= now_ms;
    this.#receives_ms = receives ? (this.#receives_ms ?? now_ms) : undefined;
  }

  #trouble({ path, path_error, phase, signalling }: Facts, now_ms: number): Trouble | undefined {
    if (signalling === "down") {
      if (now_ms - (this.#away_ms ?? now_ms) < SHOWN_AFTER_MS) return undefined;
      const goOn_ms = this.#wasWrong ? GO_ON_AGAIN_MS : GO_ON_MS;
      const goesOn = this.#receives_ms !== undefined && now_ms - this.#receives_ms >= goOn_ms;
      if (goesOn && phase === "joined") return { kind: "service", words: t("banner.signalling") };
      return { kind: "connection", words: t("banner.both") };
    }
    if (path === "failed" && path_error) {
      return { kind: "no_media", words: `${t(path_error.text)} ${t(path_error.remedy)}` };
    }
    const isBroken = path === "lost" || path === "failed" || path === "doubtful";
    return isBroken ? { kind: "media", words: t("banner.media") } : undefined;
  }
}
