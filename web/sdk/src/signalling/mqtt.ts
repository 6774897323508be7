/**
 * One MQTT connection, from CONNECT to its end. It never reconnects: {@link SignallingConnection} opens the next one.
 *
 * A PUBACK is let go when `receive` has stored the message, and only on the connection that brought it: MQTT.js would
 * queue it for the next one, where its packet id may belong to another message.
 */

import type { IClientOptions, IPublishPacket, MqttClient } from "mqtt";
import { type Timer, Wait } from "../core/timer.ts";
import type { Credentials } from "../login/requests.ts";

export interface Incoming {
  topic: string;
  payload: Uint8Array;
  dup: boolean;
}

export interface MqttHooks {
  up(): void;
  /** The end, once. `code` is the reason code of the server's CONNACK or DISCONNECT, if it gave one. */
  down(code: number | undefined): void;
  /**
   * Resolves once the message is stored, with what is to be done after its acknowledgement. A rejection is a fault of
   * this program: the message is acknowledged all the same, since it would come again for ever.
   */
  receive(message: Incoming): Promise<() => void>;
}

export interface MqttConnection {
  /** Resolves at the PUBACK; rejects with {@link PublishRefused} if the server refuses this message. */
  publish(topic: string, payload: string): Promise<void>;
  /** Asks the server for a sign of life, and ends the connection if nothing comes within `timeoutMs`. */
  check(timeoutMs: number): void;
  /** Ends it without a word, as a network does that breaks. */
  close(): void;
  /** Ends it with a DISCONNECT, at once: the page may be gone in a moment. */
  leave(): void;
}

export class PublishRefused extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`PUBACK with reason code 0x${code.toString(16)}`);
    this.code = code;
  }
}

export type MqttConnect = (url: string, options: IClientOptions) => MqttClient;

/** Not below the retention of invitations. */
const SESSION_EXPIRY_S = 3 * 24 * 3_600;
const KEEP_ALIVE_S = 10;
const CONNECT_TIMEOUT_MS = 8_000;
/** [MQTT5-3.14] with reason code 0, normal disconnection. */
const DISCONNECT = Uint8Array.of(0xe0, 0x00);

export function openMqtt(
  connect: MqttConnect,
  credentials: Pick<Credentials, "clientId" | "username" | "password" | "endpoints">,
  timer: Timer,
  hooks: MqttHooks,
): MqttConnection {
  let alive = true;
  let code: number | undefined;
  let socket: WebSocket | undefined;
  const client = connect(credentials.endpoints.mqttWs, {
    ...optionsOf(credentials, timer),
    // Outside of pages MQTT.js has another kind of socket.
    createWebsocket: globalThis.document && ((url, protocols) => (socket = new WebSocket(url, protocols))),
    customHandleAcks: (topic, payload, packet, done) => {
      const dup = (packet as IPublishPacket).dup;
      const stored = hooks.receive({ topic, payload, dup }).catch((fault: unknown) => () => reportError(fault));
      void stored.then((after) => {
        if (alive) done(0);
        after();
      });
    },
  });
  const silence = new Wait();
  const end = () => {
    if (!alive) return;
    alive = false;
    silence.cancel();
    client.end(true);
    hooks.down(code);
  };
  const leave = () => {
    // MQTT.js would send it in a later turn, which a page that goes away does not have.
    if (alive && client.connected && socket?.readyState === WebSocket.OPEN) socket.send(DISCONNECT);
    end();
  };
  const check = (timeoutMs: number) => {
    if (!alive || !client.connected || silence.isOn) return;
    silence.start(timeoutMs, end);
    client.sendPing();
  };
  client.on("connect", () => hooks.up());
  client.on("packetreceive", () => silence.cancel());
  client.on("disconnect", (packet) => {
    code = packet.reasonCode;
  });
  client.on("error", (error) => {
    code ??= reasonCode(error);
    end();
  });
  client.on("close", end);
  return { publish: (topic, payload) => publish(client, topic, payload), check, close: end, leave };
}

function optionsOf(
  { clientId, username, password }: Pick<Credentials, "clientId" | "username" | "password">,
  timer: Timer,
): IClientOptions {
  return {
    protocolVersion: 5,
    clientId,
    username,
    password,
    clean: false,
    keepalive: KEEP_ALIVE_S,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectPeriod: 0,
    resubscribe: false,
    timerVariant: timer,
    properties: { sessionExpiryInterval: SESSION_EXPIRY_S },
  };
}

function publish(client: MqttClient, topic: string, payload: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.publish(topic, payload, { qos: 1 }, (error) => {
      if (!error) return resolve();
      const code = reasonCode(error);
      reject(code === undefined ? error : new PublishRefused(code));
    });
  });
}

function reasonCode(error: unknown): number | undefined {
  const code = (error as { code?: unknown }).code;
  return typeof code === "number" ? code : undefined;
}
