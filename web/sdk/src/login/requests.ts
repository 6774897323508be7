/** The requests of a login. An application with a server of its own provides credentials instead. */

import { ConvokeError, type ErrorCode } from "../core/errors.ts";
import { type CamelCase, fromWire } from "../wire.ts";

/** What the device API and the login answer: one credential for exactly one client id. */
export interface CredentialsDocument {
  client_id: string;
  username: string;
  password: string;
  expires_at_ms: number;
  endpoints: { mqtt_ws: string; mqtts?: string; join?: string[] };
  user: string;
  name: string;
}

export type Credentials = CamelCase<CredentialsDocument>;

const TIMEOUT_MS = 10_000;

/**
 * Exchanges a login link's secret for the credential of `device`. The one that the device had before is void.
 *
 * # Errors
 * `link_invalid` if the server refuses the secret or the device, `too_many_devices` if it gives this user no more,
 * `device_taken` if the device is another user's, `server_unreachable` if it cannot be asked.
 */
export async function login(server: string, secret: string, device: string, fetcher = fetch): Promise<Credentials> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ secret, device });
  const answer = await ask(fetcher, new URL("/api/v1/login", server), { method: "POST", headers, body });
  if (answer.ok) return credentialsIn(answer);
  const code = await problemOf(answer);
  if (code === "too_many_devices" || code === "device_taken") throw new ConvokeError(code);
  const isRefused = typeof code === "string" && isFinal(answer.status);
  throw new ConvokeError(isRefused ? "link_invalid" : "server_unreachable", `status ${answer.status}`);
}

/**
 * The same credential for 30 more days. An answer that is lost costs nothing: it is asked for again.
 *
 * # Errors
 * `login_ended` if the device was removed or has another credential, `login_expired`, `server_unreachable` else.
 */
export async function renewLogin(server: string, credentials: Credentials, fetcher = fetch): Promise<Credentials> {
  const headers = { authorization: basic(credentials) };
  const answer = await ask(fetcher, new URL("/api/v1/login/renew", server), { method: "POST", headers });
  if (answer.ok) return credentialsIn(answer);
  throw new ConvokeError(await endOf(answer), `status ${answer.status}`);
}

/**
 * Removes the device from the server, with all that waits for it. Resolves also if it was removed before.
 *
 * # Errors
 * `server_unreachable`: it is to be tried again.
 */
export async function endLogin(server: string, credentials: Credentials, fetcher = fetch): Promise<void> {
  const headers = { authorization: basic(credentials) };
  // The page may be closed in a moment.
  const request = { method: "DELETE", headers, keepalive: true };
  const answer = await ask(fetcher, new URL("/api/v1/login", server), request);
  if (answer.ok || (await endOf(answer)) !== "server_unreachable") return;
  throw new ConvokeError("server_unreachable", `status ${answer.status}`);
}

/** Only the server's own word ends a login: whatever stands between may answer anything, but knows no codes. */
async function endOf(answer: Response): Promise<ErrorCode> {
  const code = answer.status === 401 ? await problemOf(answer) : undefined;
  return code === "login_ended" || code === "login_expired" ? code : "server_unreachable";
}

async function problemOf(answer: Response): Promise<unknown> {
  return ((await answer.json().catch(() => ({}))) as { code?: unknown }).code;
}

async function credentialsIn(answer: Response): Promise<Credentials> {
  const credentials = fromWire(await answer.json().catch(() => undefined)) as Credentials | undefined;
  if (credentials?.clientId && credentials.password) return credentials;
  throw new ConvokeError("server_unreachable", "the answer is cut off, or not the server's");
}

/** RFC 7617; client id and password are ASCII. */
function basic({ clientId, password }: Credentials): string {
  return `Basic ${btoa(`${clientId}:${password}`)}`;
}

function ask(fetcher: typeof fetch, url: URL, request: RequestInit): Promise<Response> {
  return fetcher(url, { ...request, signal: AbortSignal.timeout(TIMEOUT_MS) }).catch((cause: unknown) => {
    throw new ConvokeError("server_unreachable", "login", cause);
  });
}

/** A 4xx means that asking again will not help, except where the server asks to wait. */
function isFinal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/** A short stable name of a secret, for storage keys; not a cryptographic hash, it protects nothing. */
export function accountKey(secret: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < secret.length; i++) hash = Math.imul(hash ^ secret.charCodeAt(i), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, "0");
}
