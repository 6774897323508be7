/**
 * A probe for a server that is away, while the person waits for it: one small HTTP request within every 2 s, at random
 * times, so that the clients that one server has lost do not return together.
 *
 * It runs beside the connection attempt, which may hang: dropped packets cause no error, and a browser opens one WebSocket
 * to a server at a time, and delays those that follow many failures.
 */

import { URGENT_EVERY_MS } from "../core/backoff.ts";
import { Wait } from "../core/timer.ts";

export interface ProbeContext {
  /** The server has answered, whatever it said. */
  answered(): void;
  fetch?: (url: string, options: RequestInit) => Promise<unknown>;
  random?: () => number;
}

/** A request without an answer is given up after this; the next one has gone out before. */
const REQUEST_TIMEOUT_MS = 4_000;

export class Probe {
  readonly #context: ProbeContext;
  readonly #wait = new Wait();
  #running: AbortController | undefined;

  constructor(context: ProbeContext) {
    this.#context = context;
  }

  /** Goes on until `stop`; `mqttUrl` of anything but a WebSocket cannot be asked. */
  start(mqttUrl: string): void {
    const url = probed(mqttUrl);
    if (!url || this.#running) return;
    this.#running = new AbortController();
    this.#later(firstWaitMs, url);
  }

  stop(): void {
    this.#wait.cancel();
    this.#running?.abort();
    this.#running = undefined;
  }

  #later(waitMs: typeof nextWaitMs, url: string): void {
    this.#wait.start(waitMs(this.#context.random), () => {
      this.#later(nextWaitMs, url);
      void this.#ask(url);
    });
  }

  async #ask(url: string): Promise<void> {
    const running = this.#running;
    if (!running) return;
    const ask = this.#context.fetch ?? fetch;
    const signal = AbortSignal.any([running.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    try {
      await ask(url, { method: "HEAD", mode: "no-cors", cache: "no-store", credentials: "omit", signal });
    } catch {
      return;
    }
    if (running === this.#running) this.#context.answered();
  }
}

/** Not at once: all have lost the server at the same moment. */
export function firstWaitMs(random = Math.random): number {
  return random() * URGENT_EVERY_MS;
}

export function nextWaitMs(random = Math.random): number {
  return (1 + random()) * (URGENT_EVERY_MS / 2);
}

/** Where the server that takes this WebSocket answers a plain request. */
export function probed(mqttUrl: string): string | undefined {
  return /^wss?:/i.test(mqttUrl) ? mqttUrl.replace(/^ws/i, "http") : undefined;
}
