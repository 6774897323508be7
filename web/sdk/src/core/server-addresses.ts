/**
 * The addresses at which a page reaches the server that it came from. What the server says of itself may be a name that
 * is not known here, or `localhost`, which is another machine here: the address that the page has used works.
 */

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** MQTT over WebSocket of the server at `origin`. */
export function socketOf(origin: string): string {
  const url = new URL("/mqtt", origin);
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}

/** The join endpoints to try, in this order: those that are named, then the one at `origin`. */
export function joinEndpointsFrom(named: readonly string[], origin: string): string[] {
  const here = new URL(origin);
  const isElsewhere = (endpoint: string) => !isLoopback(endpoint) || isLoopback(origin);
  return [...new Set([...named.filter(isElsewhere), here.origin])];
}

function isLoopback(address: string): boolean {
  return URL.canParse(address) && LOOPBACK.test(new URL(address).hostname);
}
