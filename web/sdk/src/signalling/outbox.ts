/**
 * Requests on their way to the service: in order, one at a time, each until its PUBACK or its expiry. What a broken
 * connection swallowed is sent again with the same id, which the service handles once.
 */

import { ConvokeError } from "../core/errors.ts";
import { PublishRefused } from "./mqtt.ts";

export interface OutboxContext {
  publish(topic: string, payload: string): Promise<void>;
  isUp(): boolean;
}

interface Item {
  topic: string;
  payload: string;
  done: () => void;
  fail: (error: ConvokeError) => void;
  over: boolean;
}

/** More than a person can cause; the next one is refused. */
const ITEMS_MAX = 64;
const NOT_AUTHORIZED = 0x87;
/** The server's disk is full; it takes messages again by itself. */
const QUOTA_EXCEEDED = 0x97;
const QUOTA_WAIT_MS = 1_000;

export class Outbox {
  readonly #context: OutboxContext;
  readonly #items: Item[] = [];
  /** The run that sends at present; an interrupted one finds that it is not this one any more. */
  #run = 0;
  #busy = false;

  constructor(context: OutboxContext) {
    this.#context = context;
  }

  /** Resolves when the server has the request on disk; rejects when `ttlMs` are over or it is refused. */
  post(topic: string, payload: string, ttlMs: number): Promise<void> {
    if (this.#items.length >= ITEMS_MAX)
      return Promise.reject(new ConvokeError("refused_limit", "too many requests wait"));
    return new Promise((resolve, reject) => {
      const item: Item = { topic, payload, done: resolve, fail: reject, over: false };
      const expiry = setTimeout(() => this.#drop(item, new ConvokeError("server_unreachable", topic)), ttlMs);
      item.done = () => {
        clearTimeout(expiry);
        resolve();
      };
      this.#items.push(item);
      void this.flush();
    });
  }

  /** Sends what waits; called when the connection is up again. */
  async flush(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#run += 1;
    const run = this.#run;
    while (run === this.#run && this.#context.isUp()) {
      const item = this.#items[0];
      if (!item || !(await this.#send(item))) break;
    }
    if (run === this.#run) this.#busy = false;
  }

  /** The connection is gone: what was under way is sent again from the start. */
  interrupted(): void {
    this.#run += 1;
    this.#busy = false;
  }

  /** Whether to go on with the next one. */
  async #send(item: Item): Promise<boolean> {
    try {
      await this.#context.publish(item.topic, item.payload);
      this.#remove(item);
      item.done();
      return true;
    } catch (error) {
      if (!(error instanceof PublishRefused)) return false;
      if (error.code === QUOTA_EXCEEDED) return this.#pause();
      const code = error.code === NOT_AUTHORIZED ? "refused_not_allowed" : "refused_invalid";
      this.#drop(item, new ConvokeError(code, error.message));
      return true;
    }
  }

  async #pause(): Promise<boolean> {
    await new Promise((resolve) => setTimeout(resolve, QUOTA_WAIT_MS));
    return true;
  }

  #drop(item: Item, error: ConvokeError): void {
    if (item.over) return;
    this.#remove(item);
    item.fail(error);
  }

  #remove(item: Item): void {
    item.over = true;
    const index = this.#items.indexOf(item);
    if (index >= 0) this.#items.splice(index, 1);
  }
}
