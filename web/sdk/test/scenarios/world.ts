/** The world of one terminal: the broker with its inbox, the service, time, and a browser that keeps its disk. */

import type { IClientOptions, MqttClient } from "mqtt";
import { vi } from "vitest";
import type { Down, Up } from "../../src/generated/signalling.ts";
import type { Scenario, Step } from "./script.ts";
import { Names } from "./signals.ts";

/** The service's clock at the start. */
const START_MS = 1_800_000_000_000;

/** In the inbox until its PUBACK. */
interface Message {
  down: Down;
  urgent: boolean;
  dup: boolean;
  handedOut?: number;
  inFlight: boolean;
}

/** MQTT.js, as far as the SDK uses it. */
interface Wire {
  options: IClientOptions;
  say(event: string, ...values: unknown[]): void;
}

export class World {
  readonly names: Names;
  /** Requests that were sent and not named yet. */
  sent: Up[] = [];
  acknowledged = 0;
  stands: Step | undefined;
  /** What the service tells a terminal as it is handed out. */
  onDelivery: (down: Down) => void = () => {};
  readonly #window: number;
  readonly #inbox: Message[] = [];
  #deliveries = 0;
  #wire: Wire | undefined;
  #connected = false;
  readonly #listeners = new Map<string, (() => void)[]>();
  /** True time when the present page began, and that page's own clock then. */
  #life = { atMs: START_MS, pageMs: performance.now() };

  constructor(scenario: Scenario) {
    this.#window = scenario.window;
    this.names = new Names(scenario.me);
    vi.setSystemTime(START_MS + scenario.clock_ms);
    vi.stubGlobal("addEventListener", (type: string, run: () => void) => {
      this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), run]);
    });
  }

  /** True time, which is the service's. */
  get nowMs(): number {
    return Math.round(this.#life.atMs + performance.now() - this.#life.pageMs);
  }

  /** Makes connections that stay unanswered until `connect`. */
  mqtt = (_url: string, options: IClientOptions): MqttClient => {
    const heard = new Map<string, (value?: unknown) => void>();
    const wire: Wire = { options, say: (event, value) => heard.get(event)?.(value) };
    this.#wire = wire;
    const publish = (_topic: string, payload: string, _options: unknown, done: () => void) => {
      if (wire !== this.#wire || !this.#connected) return;
      this.#arrive(JSON.parse(payload) as Up);
      done();
    };
    const on = (event: string, run: (value?: unknown) => void) => heard.set(event, run);
    const sendPing = () => wire === this.#wire && this.#connected && wire.say("packetreceive");
    return { on, publish, sendPing, end: () => {}, connected: true } as unknown as MqttClient;
  };

  /** The way is there: who waits for it need not wait longer. */
  async connect(): Promise<void> {
    for (const run of this.#listeners.get("online") ?? []) run();
    await turns();
    this.#connected = true;
    this.#wire?.say("connect");
  }

  disconnect(): void {
    this.#cut();
    this.#wire?.say("close");
  }

  /** The page is killed. */
  restart(): void {
    this.#cut();
    this.#wire = undefined;
    this.#listeners.clear();
    const [atMs, wallMs] = [this.nowMs, Date.now()];
    vi.clearAllTimers();
    this.#life = { atMs, pageMs: performance.now() };
    vi.setSystemTime(wallMs);
  }

  send(step: Step): void {
    this.#keep(this.names.down(step, this.nowMs), step.dup === true);
  }

  #cut(): void {
    this.#connected = false;
    for (const message of this.#inbox) message.inFlight = false;
  }

  /** A request reaches the service. */
  #arrive(up: Up): void {
    if (up.type === "state" && this.stands) return this.#answer(up, { ...this.stands, signal: "state" });
    if (up.meeting && up.expires_at_ms <= this.nowMs) return this.#answer(up, { signal: "refused", code: "expired" });
    this.sent.push(up);
  }

  #answer(up: Up, step: Step): void {
    const down = this.names.down(step, this.nowMs);
    this.#keep({ ...down, in_reply_to: up.id, meeting: up.meeting } as Down, false);
  }

  #keep(down: Down, dup: boolean): void {
    this.#inbox.push({ down, urgent: "invitation" in down && down.invitation != null, dup, inFlight: false });
    queueMicrotask(() => this.run());
  }

  /** Hands out until nothing more may be in flight. */
  run(): void {
    for (let message = this.#next(); message; message = this.#next()) this.#handOut(message);
  }

  #next(): Message | undefined {
    const inFlight = this.#inbox.filter((message) => message.inFlight).length;
    if (!this.#connected || inFlight >= this.#window) return undefined;
    const order = ({ handedOut = Number.MAX_SAFE_INTEGER, urgent }: Message) => [handedOut, urgent ? 0 : 1] as const;
    return this.#inbox
      .filter((message) => !message.inFlight)
      .reduce<Message | undefined>((first, message) => {
        if (!first) return message;
        const [a, b] = [order(first), order(message)];
        return b[0] < a[0] || (b[0] === a[0] && b[1] < a[1]) ? message : first;
      }, undefined);
  }

  #handOut(message: Message): void {
    const wire = this.#wire;
    this.#deliveries += 1;
    const dup = message.dup || message.handedOut !== undefined;
    message.handedOut ??= this.#deliveries;
    message.inFlight = true;
    const { down, urgent } = message;
    const topic = `${urgent ? "ring-down" : "meeting-down"}/p2p/GID_dev@@@me/${down.type}`;
    const payload = new TextEncoder().encode(JSON.stringify(down));
    const done = () => {
      if (wire !== this.#wire) return;
      this.acknowledged += 1;
      this.#inbox.splice(this.#inbox.indexOf(message), 1);
      queueMicrotask(() => this.run());
    };
    this.onDelivery(down);
    wire?.options.customHandleAcks?.(topic, payload as never, { cmd: "publish", dup } as never, done as never);
  }
}

/** Lets everything that follows from what has happened happen, without time. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}
