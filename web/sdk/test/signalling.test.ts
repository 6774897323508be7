import { createServer, type Server, type Socket } from "node:net";
import mqtt from "mqtt";
import mqttPacket, { type Packet } from "mqtt-packet";
import { afterEach, describe, expect, test, vi } from "vitest";
import { ServiceClock } from "../src/core/clock.ts";
import type { Credentials } from "../src/login/requests.ts";
import { SignallingConnection, type SignallingState } from "../src/signalling/connection.ts";
import { decodeDown } from "../src/signalling/decode.ts";
import { type Incoming, type MqttConnect, openMqtt } from "../src/signalling/mqtt.ts";
import { Outbox } from "../src/signalling/outbox.ts";
import { Requests } from "../src/signalling/requests.ts";
import { SignalFilter } from "../src/signalling/signal-filter.ts";
import { toWire } from "../src/wire.ts";
import { clockAt, state } from "./fixtures.ts";

/** The other end of MQTT.js: a socket that shows every packet and sends what the test says. */
class Peer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly packets: Packet[] = [];
  readonly #waiting: (() => void)[] = [];
  /** Reason code of the next CONNACKs; undefined leaves CONNECT unanswered. */
  connack = 0;
  #socket: Socket | undefined;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => this.#accept(socket));
  }

  static async listen(): Promise<Peer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Peer(server);
  }

  get credentials(): Credentials {
    const address = this.#server.address();
    const port = typeof address === "object" ? address?.port : 0;
    const endpoints = { mqttWs: `mqtt://127.0.0.1:${port}` };
    return {
      clientId: "GID_dev@@@d",
      username: "u",
      password: "p",
      expiresAtMs: 0,
      endpoints,
      user: "bob",
      name: "Bob",
    };
  }

  send(packet: Packet): void {
    this.#socket?.write(mqttPacket.generate(packet, { protocolVersion: 5 }));
  }

  invite(messageId: number, dup = false): void {
    const topic = "ring-down/p2p/GID_dev@@@d/invitation";
    this.send({ cmd: "publish", topic, payload: "{}", qos: 1, messageId, dup, retain: false });
  }

  drop(): void {
    this.#socket?.destroy();
  }

  count(cmd: Packet["cmd"]): number {
    return this.packets.filter((packet) => packet.cmd === cmd).length;
  }

  /** Waits until so many packets of a kind have come in all. */
  async expect(cmd: Packet["cmd"], count: number): Promise<void> {
    while (this.count(cmd) < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #accept(socket: Socket): void {
    this.#socket = socket;
    this.#sockets.add(socket);
    const parser = mqttPacket.parser({ protocolVersion: 5 });
    parser.on("packet", (packet) => {
      if (packet.cmd === "connect") this.send({ cmd: "connack", reasonCode: this.connack, sessionPresent: true });
      this.packets.push(packet);
      for (const wake of this.#waiting.splice(0)) wake();
    });
    socket.on("data", (data) => parser.parse(Buffer.from(data)));
    socket.on("error", () => {});
  }
}

const pageTimer = {
  set: (run: () => void, everyMs: number) => Number(setInterval(run, everyMs)),
  clear: (id: number) => clearInterval(id),
};
const connect: MqttConnect = mqtt.connect;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function peer(): Promise<Peer> {
  const made = await Peer.listen();
  closing.push(() => made.close());
  return made;
}

describe("a connection", () => {
  function open(to: Peer, receive: (message: Incoming) => Promise<() => void>) {
    let down = (_code: number | undefined) => {};
    const ended = new Promise<number | undefined>((resolve) => {
      down = resolve;
    });
    let up = () => {};
    const connected = new Promise<void>((resolve) => {
      up = resolve;
    });
    const connection = openMqtt(connect, to.credentials, pageTimer, { up, down, receive });
    closing.push(() => connection.close());
    return { connection, connected, ended };
  }

  test("asks for MQTT 5, a kept session and no clean start", async () => {
    const server = await peer();
    await open(server, async () => () => {}).connected;
    expect(server.packets[0]).toMatchObject({
      protocolVersion: 5,
      clean: false,
      properties: { sessionExpiryInterval: 259_200 },
    });
  });

  test("lets the PUBACK go after the message is stored, then rings", async () => {
    const server = await peer();
    const order: string[] = [];
    let stored = () => {};
    const storing = new Promise<void>((resolve) => {
      stored = resolve;
    });
    const { connected } = open(server, async ({ dup }) => {
      order.push(`received dup=${dup}`);
      await storing;
      order.push(`stored pubacks=${server.count("puback")}`);
      return () => order.push("rings");
    });
    await connected;
    server.invite(7, true);
    await vi.waitFor(() => expect(order).toEqual(["received dup=true"]));
    stored();
    await server.expect("puback", 1);
    expect(order).toEqual(["received dup=true", "stored pubacks=0", "rings"]);
    expect(server.packets.find((packet) => packet.cmd === "puback")).toMatchObject({ messageId: 7 });
  });

  test("drops a PUBACK whose connection is gone, rings all the same, and owes the next connection nothing", async () => {
    const server = await peer();
    const rung: string[] = [];
    let stored: (() => void) | undefined;
    const storing = () =>
      new Promise<() => void>((resolve) => {
        stored = () => resolve(() => rung.push("rings"));
      });
    const first = open(server, storing);
    await first.connected;
    server.invite(7);
    await vi.waitFor(() => expect(stored).toBeDefined());
    server.drop();
    await first.ended;
    const second = open(server, async () => () => {});
    await second.connected;
    stored?.();
    await vi.waitFor(() => expect(rung).toEqual(["rings"]));
    server.invite(8);
    await server.expect("puback", 1);
    expect(server.packets.filter((packet) => packet.cmd === "puback")).toMatchObject([{ messageId: 8 }]);
  });

  test.each([1, 2, 32, 1_000])(
    "lets each PUBACK go as its message is stored: a window of %i never closes",
    async (window) => {
      const server = await peer();
      const { connected } = open(server, async () => {
        await new Promise((resolve) => setImmediate(resolve));
        return () => {};
      });
      await connected;
      const messages = 1_100;
      for (let sent = 0; sent < messages; sent++) {
        await server.expect("puback", sent - window + 1);
        server.invite((sent % 60_000) + 1, true);
      }
      await server.expect("puback", messages);
    },
  );

  test("a message that this program cannot handle is acknowledged, told, and not asked for again and again", async () => {
    const server = await peer();
    const told = vi.fn();
    vi.stubGlobal("reportError", told);
    const { connected } = open(server, () => Promise.reject(new Error("a fault")));
    await connected;
    server.invite(7);
    await server.expect("puback", 1);
    server.invite(8);
    await server.expect("puback", 2);
    expect(told).toHaveBeenCalledTimes(2);
    vi.unstubAllGlobals();
  });

  test("tells the code with which the server ended it", async () => {
    const server = await peer();
    const { connected, ended } = open(server, async () => () => {});
    await connected;
    server.send({ cmd: "disconnect", reasonCode: 0x8e });
    server.drop();
    expect(await ended).toBe(0x8e);
  });
});

describe("the signalling connection", () => {
  function signalling(to: Peer, credentials = async () => to.credentials) {
    const states: SignallingState[] = [];
    const made = new SignallingConnection({
      credentials,
      mqtt: async () => connect,
      receive: async () => () => {},
      changed: (state) => states.push(state),
    });
    closing.push(() => made.stop());
    made.start();
    return {
      made,
      states,
      reached: (type: SignallingState["type"]) => vi.waitFor(() => expect(made.state.type).toBe(type), 5_000),
    };
  }

  test("comes back by itself after the connection broke", async () => {
    const server = await peer();
    const { reached } = signalling(server);
    await reached("up");
    server.drop();
    await reached("waiting");
    await reached("up");
    expect(server.count("connect")).toBe(2);
  });

  test("connects anew on another network, where the old connection only seems to stand", async () => {
    const server = await peer();
    const { made, reached, states } = signalling(server);
    await reached("up");
    made.renew();
    await server.expect("connect", 2);
    await reached("up");
    expect(states.map((state) => state.type)).toEqual(["connecting", "up", "connecting", "up"]);
  });

  test("does not come back after another tab has taken the device over", async () => {
    const server = await peer();
    const { reached, states } = signalling(server);
    await reached("up");
    server.send({ cmd: "disconnect", reasonCode: 0x8e });
    server.drop();
    await reached("taken_over");
    expect(states.map((state) => state.type)).toEqual(["connecting", "up", "taken_over"]);
  });

  test("asks for a new credential when the server refuses the old one", async () => {
    const server = await peer();
    server.connack = 0x86;
    let asked = 0;
    const { reached } = signalling(server, async () => {
      asked += 1;
      if (asked === 2) server.connack = 0;
      return server.credentials;
    });
    await reached("up");
    expect(asked).toBe(2);
  });
});

describe("the outbox", () => {
  function outbox() {
    const published: string[] = [];
    const context = { up: false, answer: async (): Promise<void> => {} };
    const made = new Outbox({
      publish: async (topic) => {
        published.push(topic);
        await context.answer();
      },
      isUp: () => context.up,
    });
    return { outbox: made, published, context };
  }

  test("sends what was posted while the connection was down, in order, one by one", async () => {
    const { outbox: box, published, context } = outbox();
    const posted = [box.post("meeting-up/create", "", 1_000), box.post("meeting-up/cancel", "", 1_000)];
    expect(published).toEqual([]);
    context.up = true;
    void box.flush();
    await Promise.all(posted);
    expect(published).toEqual(["meeting-up/create", "meeting-up/cancel"]);
  });

  test("sends again what a broken connection swallowed", async () => {
    const { outbox: box, published, context } = outbox();
    context.up = true;
    context.answer = () => new Promise(() => {});
    const posted = box.post("meeting-up/accept", "", 1_000);
    context.up = false;
    box.interrupted();
    context.up = true;
    context.answer = async () => {};
    void box.flush();
    await posted;
    expect(published).toEqual(["meeting-up/accept", "meeting-up/accept"]);
  });

  test("gives up what expires unsent", async () => {
    const { outbox: box } = outbox();
    await expect(box.post("meeting-up/create", "", 5)).rejects.toMatchObject({ code: "server_unreachable" });
  });

  test("refuses more than its limit", async () => {
    const { outbox: box } = outbox();
    for (let i = 0; i < 64; i++) box.post("meeting-up/state", "", 5).catch(() => {});
    await expect(box.post("meeting-up/state", "", 5)).rejects.toMatchObject({ code: "refused_limit" });
  });
});

describe("requests", () => {
  let learnt = 0;
  function requests() {
    learnt = 0;
    const sent: { topic: string; up: { id: string; expires_at_ms: number; type: string } }[] = [];
    const clock = new ServiceClock({ wallMs: () => 1_000, monotonicMs: () => 1_000 });
    clock.learn(61_000, clock.ask());
    const box = new Outbox({
      publish: async (topic, payload) => void sent.push({ topic, up: JSON.parse(payload) }),
      isUp: () => true,
    });
    return { requests: new Requests(box, clock, async () => void learnt++), sent };
  }

  test("expire by the service's clock and go to the topic of their type", async () => {
    const { requests: made, sent } = requests();
    await made.send({ type: "leave" }, "m1");
    expect(sent[0]).toMatchObject({
      topic: "meeting-up/leave",
      up: { v: 1, type: "leave", meeting: "m1", expires_at_ms: 91_000 },
    });
  });

  test("get the answer that names them", async () => {
    const { requests: made, sent } = requests();
    const asked = made.ask({ type: "state" });
    expect(made.answer(state({})).isDone).toBe(false);
    expect(made.answer({ ...state({}), inReplyTo: sent[0]?.up.id })).toEqual({ isDone: true, request: "state" });
    expect((await asked).type).toBe("state");
  });

  test("that were refused as expired go once more under another id, with what was learnt of the clock meanwhile", async () => {
    const { requests: made, sent } = requests();
    const asked = made.ask({ type: "create", callees: ["bob"], media: "audio" }, "m1");
    const expired = { ...state({}), type: "refused", code: "expired", words: "…" } as const;
    expect(made.answer({ ...expired, inReplyTo: sent[0]?.up.id } as never).isDone).toBe(true);
    await vi.waitFor(() => expect(sent).toHaveLength(2));
    expect([learnt, sent[1]?.topic, sent[1]?.up.id === sent[0]?.up.id]).toEqual([1, "meeting-up/create", false]);
    made.answer({ ...expired, inReplyTo: sent[1]?.up.id } as never);
    await expect(asked).rejects.toMatchObject({ code: "refused_expired" });
    expect(sent).toHaveLength(2);
  });

  test("to ring somebody are not sent again when they are older than half a minute", async () => {
    vi.useFakeTimers();
    const { requests: made, sent } = requests();
    await made.send({ type: "invite", callees: ["bob"] }, "m1");
    vi.advanceTimersByTime(30_001);
    const expired = {
      ...state({}),
      type: "refused",
      code: "expired",
      words: "…",
      inReplyTo: sent[0]?.up.id,
    } as const;
    expect(made.answer(expired as never)).toEqual({ isDone: false, request: "invite" });
    vi.useRealTimers();
    expect([learnt, sent.length]).toEqual([0, 1]);
  });

  test("are refused with the service's code", async () => {
    const { requests: made, sent } = requests();
    const asked = made.ask({ type: "create", callees: ["nobody"], media: "audio" }, "m1");
    const refused = {
      ...state({}),
      type: "refused",
      code: "not_allowed",
      words: "…",
      inReplyTo: sent[0]?.up.id,
    } as const;
    made.answer(refused as never);
    await expect(asked).rejects.toMatchObject({ code: "refused_not_allowed" });
  });
});

describe("decoding", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  test("knows the two parents of the service", () => {
    const text = bytes(JSON.stringify(toWire(state())));
    expect(decodeDown("ring-down/p2p/c/invitation", text)?.ring).toBe(true);
    expect(decodeDown("meeting-down/p2p/c/state", text)?.ring).toBe(false);
    expect(decodeDown("chat/p2p/c/text", text)).toBeUndefined();
  });

  test.each(["", "{", "[]", '{"type":"state"}', "\u0000"])("drops %j", (text) => {
    expect(decodeDown("meeting-down/p2p/c/state", bytes(text))).toBeUndefined();
  });
});

describe("what of meeting-down is news", () => {
  const T = 1_000_000;
  const signal = (type: string, more = {}) =>
    ({
      v: 1,
      id: `${type}-${JSON.stringify(more)}`,
      meeting: "m1",
      sentAtMs: T,
      expiresAtMs: T + 20_000,
      type,
      ...more,
    }) as never;
  const fresh = (nowMs = T) => new SignalFilter(clockAt(() => nowMs));

  test("is each signal once, as long as a thousand others have not come since", () => {
    const made = fresh();
    expect([made.accepts(signal("ringing"), 0), made.accepts(signal("ringing"), 0)]).toEqual([true, false]);
    for (let i = 0; i < 1_000; i++) made.accepts(signal("ringing", { i }), 0);
    expect(made.accepts(signal("ringing"), 0)).toBe(false);
  });

  test.each(["muted", "blocked", "roster", "roster_changed", "state"])("is no %s that has expired", (type) => {
    expect(fresh(T + 20_000).accepts(signal(type, { rev: 5 }), 0)).toBe(false);
  });

  test("is whatever has come while the service's clock is a guess", () => {
    const local = { wallMs: () => T + 60_000, monotonicMs: () => 0 };
    expect(new SignalFilter(new ServiceClock(local)).accepts(signal("muted", { rev: 5 }), 0)).toBe(true);
  });

  test.each(["ended", "rejected", "busy", "unmute_asked"])("is %s, however old", (type) => {
    expect(fresh(T + 60_000).accepts(signal(type, { rev: 1 }), 9)).toBe(true);
  });

  test.each(["blocked", "roster", "roster_changed", "admitted"])(
    "is no %s older than the roster that is known",
    (type) => {
      const made = fresh();
      expect(made.accepts(signal(type, { rev: 4, roster: { rev: 4 } }), 5)).toBe(false);
      expect(made.accepts(signal(type, { rev: 5, roster: { rev: 5 } }), 5)).toBe(true);
    },
  );

  test("is no admission or roster below the end of their meeting; the end of one callee's ring is none", () => {
    const made = fresh();
    made.accepts(signal("ended", { rev: 9, user: "carol" }), 0);
    expect(made.accepts(signal("roster", { rev: 8 }), 0)).toBe(true);
    made.accepts(signal("ended", { rev: 9 }), 0);
    expect(made.accepts(signal("admitted", { rev: 8, roster: { rev: 8 } }), 0)).toBe(false);
    expect([made.isBeforeEnd("m1", 8), made.isBeforeEnd("m1", 9), made.isBeforeEnd("m2", 1)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(made.accepts(signal("admitted", { rev: 11, roster: { rev: 11 } }), 0)).toBe(true);
  });
});
