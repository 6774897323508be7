/** Signing in with the secret of a login link. An application with a server of its own hands credentials over instead. */

import { ConvokeError, type ErrorCode } from "./errors.ts";

/** What the device API and the login answer: one credential for exactly one client id. */
export interface Credentials {
  client_id: string;
  username: string;
  password: string;
  expires_at_ms: number;
  endpoints: { mqtt_ws: string; mqtts?: string; join?: string[] };
  user: string;
  name: string;
}

const LOGIN_TIMEOUT_MS = 10_000;

/**
 * Exchanges a login link's secret for the credential of `device`.
 *
 * # Errors
 * `link_invalid` if the server does not know the secret, `too_many_devices` if it gives this user no more,
 * `server_unreachable` if it cannot be asked.
 */
export async function login(server: string, secret: string, device: string, fetcher = fetch): Promise<Credentials> {
  const answer = await fetcher(new URL("/api/v1/login", server), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ secret, device }),
    signal: AbortSignal.timeout(LOGIN_TIMEOUT_MS),
  }).catch((cause: unknown) => {
    throw new ConvokeError("server_unreachable", "login", cause);
  });
  if (answer.ok) return (await answer.json()) as Credentials;
  throw new ConvokeError(codeOf(answer.status), `status ${answer.status}`);
}

function codeOf(status: number): ErrorCode {
  if (status === 409) return "too_many_devices";
  return isFinal(status) ? "link_invalid" : "server_unreachable";
}

/** A 4xx means that asking again will not help, except where the server asks for patience. */
function isFinal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/** A short stable name of a secret, for storage keys; not a cryptographic hash, it protects nothing. */
export function accountKey(secret: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < secret.length; i++) hash = Math.imul(hash ^ secret.charCodeAt(i), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, "0");
}
