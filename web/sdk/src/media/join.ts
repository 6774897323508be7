/** The join endpoint: one offer in, one answer out. */

import { ConvokeError } from "../core/errors.ts";
import type { JoinAnswer, JoinParameters, JoinRequest } from "../wire.ts";

const JOIN_TIMEOUT_MS = 5_000;

/**
 * Posts the offer to the first end point that can be reached.
 *
 * # Errors
 * `media_refused` where an endpoint refused (its token is old, the offer is too large), `media_busy` where those that
 * answered cannot take it now, `media_unreachable` where none answered.
 */
export async function joinAt(join: JoinParameters, request: JoinRequest, fetcher = fetch): Promise<JoinAnswer> {
  let last: unknown;
  let busy = 0;
  for (const endpoint of join.endpoints) {
    const answer = await post(endpoint, join.token, request, fetcher).catch((cause: unknown) => {
      last = cause;
    });
    if (answer?.ok) return (await answer.json()) as JoinAnswer;
    if (answer && answer.status < 500) throw new ConvokeError("media_refused", `status ${answer.status}`);
    busy = answer?.status ?? busy;
  }
  if (busy) throw new ConvokeError("media_busy", `status ${busy}`);
  throw new ConvokeError("media_unreachable", "no join door answers", last);
}

function post(endpoint: string, token: string, request: JoinRequest, fetcher: typeof fetch): Promise<Response> {
  return fetcher(`${endpoint.replace(/\/$/, "")}/rtc/v1/join`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(JOIN_TIMEOUT_MS),
  });
}
