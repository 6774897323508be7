/** The decoder of the service's signals. What cannot be read is dropped: a terminal has no one to report it to. */

import { joinEndpointsFrom } from "../core/server-addresses.ts";
import { withShownTexts } from "../core/shown-text.ts";
import { type Down, fromWire } from "../wire.ts";

const RING_DOWN = "ring-down/p2p/";
const MEETING_DOWN = "meeting-down/p2p/";

/**
 * A signal, its names and titles fit to be shown, its join endpoints as they are reached from a page of `server`, and the parent
 * topic that it came on; undefined for anything else.
 */
export function decodeDown(
  topic: string,
  payload: Uint8Array,
  server?: string,
): { down: Down; ring: boolean } | undefined {
  const ring = topic.startsWith(RING_DOWN);
  if (!ring && !topic.startsWith(MEETING_DOWN)) return undefined;
  const down = parse(payload, server);
  return down && { down, ring };
}

function parse(payload: Uint8Array, server: string | undefined): Down | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(payload);
    const document: unknown = JSON.parse(text, function (this: unknown, key: string, value: unknown) {
      const isDoors = server && key === "endpoints" && Array.isArray(value);
      return isDoors ? joinEndpointsFrom(value.map(String), server) : withShownTexts.call(this, key, value);
    });
    const value = fromWire(document);
    return isSignal(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isSignal(value: unknown): value is Down {
  if (typeof value !== "object" || value === null) return false;
  const { v, id, type } = value as Record<string, unknown>;
  return typeof v === "number" && typeof id === "string" && typeof type === "string";
}
