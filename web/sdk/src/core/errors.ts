/** Errors that an application can act on: a stable code, who has to act, and the keys of the words to show. */

import type { RefusalCode } from "../wire.ts";

export type ErrorCategory =
  /** The person must do something in the browser or with a device. */
  | "device"
  /** Signing in. */
  | "login"
  /** No way to the signalling or media server at present; the SDK keeps trying. */
  | "network"
  /** The service said no. */
  | "refused"
  /** This browser lacks something. */
  | "browser";

export type ErrorCode =
  | "link_invalid"
  | "too_many_devices"
  | "device_taken"
  /** The device was removed, here or by an administrator. */
  | "login_ended"
  | "login_expired"
  | "server_unreachable"
  | "page_insecure"
  | "no_answer_from_service"
  | "device_denied"
  | "device_missing"
  | "device_in_use"
  | "device_failed"
  | "media_unreachable"
  | "media_loopback_firefox"
  | "media_refused"
  | "media_busy"
  | "media_unsupported"
  | `refused_${RefusalCode}`;

const CATEGORIES: Partial<Record<ErrorCode, ErrorCategory>> = {
  link_invalid: "login",
  too_many_devices: "login",
  device_taken: "login",
  login_ended: "login",
  login_expired: "login",
  server_unreachable: "network",
  page_insecure: "browser",
  no_answer_from_service: "network",
  media_unreachable: "network",
  media_loopback_firefox: "browser",
  media_refused: "network",
  media_busy: "network",
  media_unsupported: "browser",
};

export class ConvokeError extends Error {
  override readonly name = "ConvokeError";
  readonly code: ErrorCode;
  readonly category: ErrorCategory;
  /** Key of the sentence that says what is wrong. */
  readonly text: `error.${ErrorCode}`;
  /** Key of the sentence that says what helps. */
  readonly remedy: `remedy.${ErrorCode}`;

  constructor(code: ErrorCode, detail?: string, cause?: unknown) {
    super(detail ? `${code}: ${detail}` : code, cause === undefined ? undefined : { cause });
    this.code = code;
    this.category = CATEGORIES[code] ?? (code.startsWith("device_") ? "device" : "refused");
    this.text = `error.${code}`;
    this.remedy = `remedy.${code}`;
  }
}

export function refusal(code: RefusalCode, words: string): ConvokeError {
  return new ConvokeError(`refused_${code}`, words);
}

/** What `getUserMedia` rejected with, by what the person can do about it. */
export function deviceError(cause: unknown): ConvokeError {
  const name = cause instanceof Error ? cause.name : "";
  const code = DEVICE_CODES[name] ?? "device_failed";
  return new ConvokeError(code, name, cause);
}

const DEVICE_CODES: Record<string, ErrorCode> = {
  NotAllowedError: "device_denied",
  SecurityError: "device_denied",
  NotFoundError: "device_missing",
  OverconstrainedError: "device_missing",
  NotReadableError: "device_in_use",
  AbortError: "device_in_use",
};
