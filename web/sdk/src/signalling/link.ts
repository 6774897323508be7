/**
 * The way to the service, kept up: connects, waits with back-off and jitter, connects again, and never gives up, except
 * where another tab has taken the device over or the credential is refused for good.
 */

import { Backoff, SIGNALLING_STEPS } from "../core/backoff.ts";
import { ConvokeError } from "../core/errors.ts";
import { steadyTimer } from "../core/timer.ts";
import type { Credentials } from "../login/requests.ts";
import { type Connection, type Incoming, type MqttConnect, openConnection } from "./connection.ts";

export type LinkState =
  | { is: "stopped" }
  | { is: "connecting" }
  | { is: "up" }
  | { is: "waiting"; error?: ConvokeError }
  | { is: "refused"; error: ConvokeError }
  | { is: "taken_over" };

export interface LinkShell {
  /** A credential for this device; asked again, with the last one, when the server refuses that. */
  credentials(refused?: Credentials): Promise<Credentials>;
  /** MQTT.js, loaded when first needed. */
  mqtt(): Promise<MqttConnect>;
  receive(message: Incoming): Promise<() => void>;
  changed(state: LinkState): void;
}

const SESSION_TAKEN_OVER = 0x8e;
/** Bad user name or password, not authorized, administrative action: what has become of it, the server's login says. */
const CREDENTIAL_REFUSED = new Set([0x84, 0x86, 0x87, 0x98]);

export class Link {
  readonly #shell: LinkShell;
  readonly #backoff = new Backoff(SIGNALLING_STEPS);
  #credentials: Credentials | undefined;
  #refused: Credentials | undefined;
  #connection: Connection | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Counts starts and stops, so that what an earlier one still awaits comes to nothing. */
  #life = 0;
  #state: LinkState = { is: "stopped" };

  constructor(shell: LinkShell) {
    this.#shell = shell;
  }

  get state(): LinkState {
    return this.#state;
  }

  start(): void {
    this.stop();
    this.#backoff.reset();
    void this.#attempt(this.#life);
  }

  stop(): void {
    this.#stop((connection) => connection.close());
  }

  /** Stops, and lets the service know that this device means to be gone. */
  leave(): void {
    this.#stop((connection) => connection.leave());
  }

  /** The network may be back: do not wait any longer. */
  hint(): void {
    if (this.#state.is !== "waiting") return;
    clearTimeout(this.#retry);
    void this.#attempt(this.#life);
  }

  /**
   * This device has come to another network: the connection of the old one is gone, though nothing says so until the keep
   * alive fails. The session stays.
   */
  renew(): void {
    if (this.#state.is !== "up") return;
    this.#life += 1;
    this.#connection?.close();
    this.#connection = undefined;
    void this.#attempt(this.#life);
  }

  publish(topic: string, payload: string): Promise<void> {
    const connection = this.#state.is === "up" ? this.#connection : undefined;
    return connection ? connection.publish(topic, payload) : Promise.reject(new Error("the link is down"));
  }

  #stop(end: (connection: Connection) => void): void {
    this.#life += 1;
    clearTimeout(this.#retry);
    if (this.#connection) end(this.#connection);
    this.#connection = undefined;
    this.#change({ is: "stopped" });
  }

  async #attempt(life: number): Promise<void> {
    this.#change({ is: "connecting" });
    try {
      const mqtt = await this.#shell.mqtt();
      const credentials = this.#credentials ?? (await this.#shell.credentials(this.#refused));
      this.#refused = undefined;
      this.#credentials = credentials;
      if (life === this.#life) this.#open(mqtt, credentials, life);
    } catch (error) {
      if (life === this.#life) this.#failed(error);
    }
  }

  #open(mqtt: MqttConnect, credentials: Credentials, life: number): void {
    this.#connection = openConnection(mqtt, credentials, steadyTimer(), {
      up: () => {
        if (life !== this.#life) return;
        this.#backoff.reset();
        this.#change({ is: "up" });
      },
      down: (code) => {
        if (life === this.#life) this.#down(code);
      },
      receive: (message) => this.#shell.receive(message),
    });
  }

  #down(code: number | undefined): void {
    this.#connection = undefined;
    if (code === SESSION_TAKEN_OVER) return this.#change({ is: "taken_over" });
    if (code !== undefined && CREDENTIAL_REFUSED.has(code)) {
      this.#refused = this.#credentials;
      this.#credentials = undefined;
    }
    this.#wait();
  }

  #failed(error: unknown): void {
    const typed = error instanceof ConvokeError ? error : new ConvokeError("server_unreachable", undefined, error);
    if (typed.category === "login") this.#change({ is: "refused", error: typed });
    else this.#wait(typed);
  }

  #wait(error?: ConvokeError): void {
    const life = this.#life;
    this.#retry = setTimeout(() => void this.#attempt(life), this.#backoff.next_ms());
    this.#change({ is: "waiting", error });
  }

  #change(state: LinkState): void {
    if (state.is === this.#state.is && state.is !== "waiting") return;
    this.#state = state;
    this.#shell.changed(state);
  }
}
