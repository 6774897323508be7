/**
 * The signalling connection of a device: connects, waits with back-off and jitter, and connects again without end, except
 * where another tab has taken the device over or the credential is refused for good.
 *
 * The waits are long, to spare a server that is away. While it is *urgent*, in a call or a ring, a probe asks besides
 * whether the server is back, at least every 2 s, and its answer starts the next attempt.
 */

import { Backoff, SIGNALLING_STEPS } from "../core/backoff.ts";
import { ConvokeError } from "../core/errors.ts";
import { steadyTimer, Wait } from "../core/timer.ts";
import type { Credentials } from "../login/requests.ts";
import { type Incoming, type MqttConnect, type MqttConnection, openMqtt } from "./mqtt.ts";
import { Probe } from "./probe.ts";

export type SignallingState =
  | { type: "stopped" }
  | { type: "connecting" }
  | { type: "up" }
  | { type: "waiting"; error?: ConvokeError }
  | { type: "refused"; error: ConvokeError }
  | { type: "taken_over" };

export interface SignallingContext {
  /** A credential for this device; asked again, with the last one, when the server refuses that. */
  credentials(refused?: Credentials): Promise<Credentials>;
  /** MQTT.js, loaded when first needed. */
  mqtt(): Promise<MqttConnect>;
  receive(message: Incoming): Promise<() => void>;
  changed(state: SignallingState): void;
}

const SESSION_TAKEN_OVER = 0x8e;
/** Bad user name or password, not authorized, administrative action: what has become of it, the server's login says. */
const CREDENTIAL_REFUSED = new Set([0x84, 0x86, 0x87, 0x98]);
/** A connection that stands is asked for a sign of life this often, besides MQTT's own keep-alive. */
const BEAT_MS = { urgent: 2_000, visible: 5_000 };
/** It is dead if none comes within this. */
const CHECK_TIMEOUT_MS = 2_000;
/**
 * An attempt that is older than this hangs, if the server answers others. Each such one is given twice the time of the
 * last.
 */
const HANGS_MS = 1_500;
const HANGS_MAX_MS = 12_000;

export class SignallingConnection {
  readonly #context: SignallingContext;
  readonly #backoff = new Backoff(SIGNALLING_STEPS);
  #credentials: Credentials | undefined;
  #refused: Credentials | undefined;
  #connection: MqttConnection | undefined;
  readonly #retry = new Wait();
  readonly #beat = new Wait();
  readonly #probe = new Probe({ answered: () => this.retryNow() });
  #urgent = false;
  #attemptedMs = 0;
  #hangsMs = HANGS_MS;
  /** Counts starts and stops, so that what an earlier one still awaits comes to nothing. */
  #generation = 0;
  #state: SignallingState = { type: "stopped" };

  constructor(context: SignallingContext) {
    this.#context = context;
  }

  get state(): SignallingState {
    return this.#state;
  }

  start(): void {
    this.stop();
    this.#backoff.reset();
    void this.#attempt(this.#generation);
  }

  stop(): void {
    this.#stop((connection) => connection.close());
  }

  /** Stops, and lets the service know that this device means to be gone. */
  leave(): void {
    this.#stop((connection) => connection.leave());
  }

  /** Whether the person waits: then a lost server, and its return, are noticed sooner. */
  urgent(urgent: boolean): void {
    if (urgent === this.#urgent) return;
    this.#urgent = urgent;
    this.#watch();
  }

  /** The server may be reached again, or not any more: do not wait any longer to find out. */
  retryNow(): void {
    if (this.#state.type === "up") return this.check();
    if (this.#state.type === "connecting") return this.#replaceIfItHangs();
    if (this.#state.type === "waiting") void this.#attempt(this.#generation);
  }

  /** A connection that stands shows a sign of life within `timeoutMs`, or is taken for dead. */
  check(timeoutMs = CHECK_TIMEOUT_MS): void {
    if (this.#state.type === "up") this.#connection?.check(timeoutMs);
  }

  /**
   * This device has come to another network: the connection of the old one is gone, though nothing says so until the keep
   * alive fails. The session stays.
   */
  renew(): void {
    if (this.#state.type === "up") this.#anew();
  }

  publish(topic: string, payload: string): Promise<void> {
    const connection = this.#state.type === "up" ? this.#connection : undefined;
    return connection
      ? connection.publish(topic, payload)
      : Promise.reject(new Error("there is no signalling connection"));
  }

  #replaceIfItHangs(): void {
    if (performance.now() - this.#attemptedMs < this.#hangsMs) return;
    this.#hangsMs = Math.min(2 * this.#hangsMs, HANGS_MAX_MS);
    this.#anew();
  }

  #anew(): void {
    this.#generation += 1;
    this.#connection?.close();
    this.#connection = undefined;
    void this.#attempt(this.#generation);
  }

  #stop(end: (connection: MqttConnection) => void): void {
    this.#generation += 1;
    this.#retry.cancel();
    if (this.#connection) end(this.#connection);
    this.#connection = undefined;
    this.#change({ type: "stopped" });
  }

  async #attempt(generation: number): Promise<void> {
    this.#retry.cancel();
    this.#attemptedMs = performance.now();
    this.#change({ type: "connecting" });
    try {
      const mqtt = await this.#context.mqtt();
      const credentials = this.#credentials ?? (await this.#context.credentials(this.#refused));
      this.#refused = undefined;
      this.#credentials = credentials;
      if (generation === this.#generation) this.#open(mqtt, credentials, generation);
    } catch (error) {
      if (generation === this.#generation) this.#failed(error);
    }
  }

  #open(mqtt: MqttConnect, credentials: Credentials, generation: number): void {
    this.#connection = openMqtt(mqtt, credentials, steadyTimer(), {
      up: () => {
        if (generation !== this.#generation) return;
        this.#backoff.reset();
        this.#hangsMs = HANGS_MS;
        this.#change({ type: "up" });
      },
      down: (code) => {
        if (generation === this.#generation) this.#down(code);
      },
      receive: (message) => this.#context.receive(message),
    });
  }

  #down(code: number | undefined): void {
    this.#connection = undefined;
    if (code === SESSION_TAKEN_OVER) return this.#change({ type: "taken_over" });
    if (code !== undefined && CREDENTIAL_REFUSED.has(code)) {
      this.#refused = this.#credentials;
      this.#credentials = undefined;
    }
    this.#wait();
  }

  #failed(error: unknown): void {
    const typed = error instanceof ConvokeError ? error : new ConvokeError("server_unreachable", undefined, error);
    if (typed.category === "login") this.#change({ type: "refused", error: typed });
    else this.#wait(typed);
  }

  #wait(error?: ConvokeError): void {
    const generation = this.#generation;
    this.#retry.start(this.#backoff.nextMs(), () => void this.#attempt(generation));
    this.#change({ type: "waiting", error });
  }

  #change(state: SignallingState): void {
    if (state.type === this.#state.type && state.type !== "waiting") return;
    this.#state = state;
    this.#watch();
    this.#context.changed(state);
  }

  /** Whether a standing connection still lives, or a server that is away is back. */
  #watch(): void {
    const { type } = this.#state;
    const isAway = type === "connecting" || type === "waiting";
    if (isAway && this.#urgent && this.#credentials) this.#probe.start(this.#credentials.endpoints.mqttWs);
    else this.#probe.stop();
    this.#beat.cancel();
    if (type === "up") this.#beatLater();
  }

  #beatLater(): void {
    this.#beat.start(this.#urgent ? BEAT_MS.urgent : BEAT_MS.visible, () => {
      // A hidden page is left to MQTT's keep-alive.
      if (this.#urgent || globalThis.document?.visibilityState === "visible") this.check();
      this.#beatLater();
    });
  }
}
