/** The diagnosis of a media path that cannot be established. */

import { ConvokeError, type ErrorCode } from "../core/errors.ts";

export interface PathEvidence {
  userAgent: string;
  /** The answer of the RTC server. */
  answerSdp: string;
}

export function diagnose({ userAgent, answerSdp }: PathEvidence): ConvokeError {
  const addresses = candidateAddresses(answerSdp);
  const loopbackOnly = addresses.length > 0 && addresses.every(isLoopback);
  const code: ErrorCode = loopbackOnly && /firefox/i.test(userAgent) ? "media_loopback_firefox" : "media_unreachable";
  return new ConvokeError(code, addresses.join(", "));
}

/** The addresses of `a=candidate` lines (RFC 8839 §5.1): the fifth word. */
export function candidateAddresses(sdp: string): string[] {
  const found = [...sdp.matchAll(/^a=candidate:\S+ \d+ \S+ \d+ (\S+) \d+/gm)].flatMap((match) => match[1] ?? []);
  return [...new Set(found)];
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || address === "localhost";
}
