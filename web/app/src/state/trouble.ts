/**
 * Trouble: what of a call is down at present, in words that are true and stay long enough to be read.
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

type Facts = Pick<CallState, "path" | "pathError" | "phase" | "signalling">;

/** A connection that is back sooner is no trouble. */
const SHOWN_AFTER_MS = 600;
/** What is shown stands at least so long. */
const READ_MS = 1_200;
/** Pictures and sound have come in for so long before they are said to go on; longer once that was wrong. */
const STEADY_MS = 1_500;
const STEADY_AGAIN_MS = 6_000;

export class TroubleWatch {
  #shown: Trouble | undefined;
  #shownMs = 0;
  /** Since when the service has been away. */
  #awayMs: number | undefined;
  /** Since when pictures or sound have come in without a break while it is away. */
  #receivesMs: number | undefined;
  #wasWrong = false;

  /** To be asked several times a second, and whenever the call changes. */
  look(call: Facts, receives: boolean, nowMs: number): Trouble | undefined {
    this.#follow(call, receives, nowMs);
    const trouble = this.#trouble(call, nowMs);
    if (trouble?.words === this.#shown?.words) return this.#shown;
    const isWrong = this.#shown?.kind === "service" && trouble !== undefined;
    if (isWrong) this.#wasWrong = true;
    if (this.#shown && !isWrong && nowMs - this.#shownMs < READ_MS) return this.#shown;
    this.#shown = trouble;
    this.#shownMs = nowMs;
    return trouble;
  }

  #follow({ signalling }: Facts, receives: boolean, nowMs: number): void {
    if (signalling === "up") {
      this.#awayMs = this.#receivesMs = undefined;
      this.#wasWrong = false;
      return;
    }
    this.#awayMs ??= nowMs;
    this.#receivesMs = receives ? (this.#receivesMs ?? nowMs) : undefined;
  }

  #trouble({ path, pathError, phase, signalling }: Facts, nowMs: number): Trouble | undefined {
    if (signalling === "down") {
      if (nowMs - (this.#awayMs ?? nowMs) < SHOWN_AFTER_MS) return undefined;
      const steadyMs = this.#wasWrong ? STEADY_AGAIN_MS : STEADY_MS;
      const isSteady = this.#receivesMs !== undefined && nowMs - this.#receivesMs >= steadyMs;
      if (isSteady && phase === "joined") return { kind: "service", words: t("banner.signalling") };
      return { kind: "connection", words: t("banner.both") };
    }
    if (path === "failed" && pathError) {
      return { kind: "no_media", words: `${t(pathError.text)} ${t(pathError.remedy)}` };
    }
    const isBroken = path === "lost" || path === "failed" || path === "doubtful";
    return isBroken ? { kind: "media", words: t("banner.media") } : undefined;
  }
}
