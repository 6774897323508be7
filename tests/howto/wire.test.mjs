// What docs/wire.md says of refusals, limits and the test vector, asked of a real server packet by packet.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { generate, parser } from "mqtt-packet";
import { Server } from "../server.mjs";

const WIRE = readFileSync(new URL("../../docs/wire.md", import.meta.url), "utf8");
const VERSIONS = [4, 5];
const SERVICE = "GID_dev@@@wire-service";

let server;

before(async () => {
  server = await Server.start();
});

after(() => server?.stop());

/** A connection that sends packets as they are, and hands out what comes; `closed` when it is over. */
class Wire {
  static async open(protocolVersion) {
    const wire = new Wire();
    wire.version = protocolVersion;
    wire.socket = connect(server.mqtt, "localhost");
    wire.packets = [];
    const read = parser({ protocolVersion });
    read.on("packet", (packet) => wire.arrived(packet));
    wire.socket.on("data", (bytes) => read.parse(bytes));
    wire.socket.on("error", () => {});
    wire.socket.on("close", () => wire.arrived({ cmd: "closed" }));
    await once(wire.socket, "connect");
    return wire;
  }

  arrived(packet) {
    if (this.waiting) this.waiting(packet);
    else this.packets.push(packet);
    this.waiting = undefined;
  }

  next() {
    return new Promise((done) => {
      const packet = this.packets.shift();
      if (packet) done(packet);
      else this.waiting = done;
    });
  }

  send(packet) {
    this.socket.write(generate(packet, { protocolVersion: this.version }));
  }

  connect(login, more = {}) {
    const { client_id: clientId, username, password } = login;
    const { version: protocolVersion } = this;
    const protocolId = "MQTT";
    this.send({ cmd: "connect", protocolId, protocolVersion, clean: true, clientId, username, password, keepalive: 0, ...more });
    return this.next();
  }

  async ask(packet) {
    this.send(packet);
    return said(await this.next());
  }
}

/** What a packet says, in one word: `puback 0x87`, `closed`. */
function said(packet) {
  const code = packet.granted?.[0] ?? packet.reasonCode ?? packet.returnCode;
  const hex = code === undefined ? "" : ` 0x${code.toString(16).padStart(2, "0")}`;
  return packet.cmd + hex;
}

async function loggedIn(version, login) {
  const wire = await Wire.open(version);
  const connack = await wire.connect(login);
  assert.equal(said(connack), "connack 0x00");
  return { wire, connack };
}

const service = () => ({ client_id: SERVICE, ...server.service(SERVICE) });
const device = () => server.register("wire", "device");
const publish = (topic, more = {}) => ({ cmd: "publish", topic, payload: "x", qos: 1, messageId: 7, dup: false, retain: false, ...more });
const subscribe = (topic, qos = 1) => ({ cmd: "subscribe", messageId: 7, subscriptions: [{ topic, qos }] });

test("the test vector follows from its secret and client id", () => {
  const row = (name) => new RegExp(`^\\| ${name} \\| \`(.+)\` \\|$`, "m").exec(WIRE)?.[1];
  const password = createHmac("sha1", row("secret")).update(row("client id")).digest("base64");
  assert.equal(password, row("password"));
});

test("a CONNACK of 5.0 tells the limits", async () => {
  const { connack } = await loggedIn(5, service());
  const { receiveMaximum, maximumPacketSize, maximumQoS, retainAvailable } = connack.properties;
  assert.deepEqual([receiveMaximum, maximumPacketSize, maximumQoS, retainAvailable], [128, 131_072, 1, false]);
  assert.equal(connack.properties.serverKeepAlive, 480);
  assert.equal(connack.properties.sharedSubscriptionAvailable, false);
  assert.equal(connack.properties.topicAliasMaximum, undefined);
});

const WILL = { topic: "meeting-up/x", payload: Buffer.from("x"), qos: 1, retain: false };
const connects = {
  "an empty client id": [(login) => ({ ...login, client_id: "" }), {}, "connack 0x85", "connack 0x02"],
  "a client id of another form": [(login) => ({ ...login, client_id: "nobody" }), {}, "connack 0x85", "connack 0x02"],
  "a wrong password": [(login) => ({ ...login, password: "d3Jvbmc=" }), {}, "connack 0x86", "connack 0x04"],
  "a foreign client id": [(login) => ({ ...login, client_id: "GID_dev@@@foreign" }), {}, "connack 0x86", "connack 0x04"],
  "a will": [(login) => login, { will: WILL }, "connack 0x83", "connack 0x03"],
  "a will of QoS 2": [(login) => login, { will: { ...WILL, qos: 2 } }, "connack 0x9b", "connack 0x03"],
  "a retained will": [(login) => login, { will: { ...WILL, retain: true } }, "connack 0x9a", "connack 0x03"],
  "a CONNECT that is too large": [(login) => ({ ...login, password: "x".repeat(17_000) }), {}, "connack 0x95", "closed"],
};

for (const [what, [change, more, in5, in3]] of Object.entries(connects)) {
  for (const version of VERSIONS) {
    test(`${what} is refused in version ${version}`, async () => {
      const wire = await Wire.open(version);
      assert.equal(said(await wire.connect(change(await device()), more)), version === 5 ? in5 : in3);
    });
  }
}

test("a service may not use the client id of a user's device", async () => {
  const { client_id } = await device();
  for (const [version, code] of [[5, "connack 0x87"], [4, "connack 0x05"]]) {
    const wire = await Wire.open(version);
    assert.equal(said(await wire.connect({ client_id, ...server.service(client_id) })), code);
  }
});

const UNKNOWN = "meeting-down/p2p/GID_dev@@@nobody/x";
const packets = {
  "a device publishes what it was not granted": ["device", publish("meeting-down/x"), "puback 0x87", "closed"],
  "a device publishes to an unknown parent": ["device", publish("nowhere/x"), "puback 0x87", "closed"],
  "a device publishes P2P": ["device", publish("meeting-up/p2p/GID_dev@@@nobody"), "puback 0x87", "closed"],
  "a topic is too long": ["device", publish(`meeting-up/${"x".repeat(64)}`), "puback 0x90", "closed"],
  "a level is empty": ["device", publish("meeting-up//x"), "puback 0x90", "closed"],
  "a payload is too large": ["device", publish("meeting-up/x", { payload: "x".repeat(65_537) }), "puback 0x97", "closed"],
  "a packet is too large": ["device", publish("meeting-up/x", { payload: "x".repeat(140_000) }), "disconnect 0x95", "closed"],
  "a PUBLISH has QoS 2": ["device", publish("meeting-up/x", { qos: 2 }), "disconnect 0x9b", "closed"],
  "a PUBLISH is retained": ["device", publish("meeting-up/x", { retain: true }), "disconnect 0x9a", "closed"],
  "a receiver is not registered": ["service", publish(UNKNOWN), "puback 0x10", "puback"],
  "nobody subscribes": ["service", publish("meeting-down/x"), "puback 0x10", "puback"],
  "a P2P topic names no client id": ["service", publish("meeting-down/p2p/nobody"), "puback 0x90", "closed"],
  "a device subscribes": ["device", subscribe("meeting-up/#"), "suback 0x87", "suback 0x80"],
  "a service subscribes to P2P": ["service", subscribe("meeting-down/p2p/#"), "suback 0x87", "suback 0x80"],
  "a wildcard stands at level 1": ["service", subscribe("#"), "suback 0x8f", "suback 0x80"],
  "a subscription is shared": ["service", subscribe("$share/a/meeting-up/#"), "suback 0x9e", "suback 0x80"],
  "a subscription asks for QoS 2": ["service", subscribe("meeting-up/#", 2), "suback 0x01", "suback 0x01"],
  "a PUBREL belongs to no exchange": ["service", { cmd: "pubrel", messageId: 9 }, "pubcomp 0x92", "pubcomp"],
};

for (const [what, [who, packet, in5, in3]] of Object.entries(packets)) {
  for (const version of VERSIONS) {
    test(`${what}: the answer in version ${version}`, async () => {
      const { wire } = await loggedIn(version, await { device, service }[who]());
      assert.equal(await wire.ask(packet), version === 5 ? in5 : in3);
    });
  }
}

test("a take-over is told to the older connection", async () => {
  const { wire } = await loggedIn(5, service());
  await loggedIn(5, service());
  assert.equal(said(await wire.next()), "disconnect 0x8e");
});

test("the join endpoint says what it does not let in", async () => {
  const join = (init) => fetch(`${server.url}/rtc/v1/join`, { method: "POST", ...init });
  const refusal = await join({ headers: { authorization: "Bearer x.y.z" }, body: "{}" });
  assert.equal(refusal.headers.get("content-type"), "application/problem+json");
  const { status, code } = await refusal.json();
  assert.deepEqual([status, code], [401, "token_invalid"]);
});

test("channels, health and the upgrade answer as written", async () => {
  assert.equal(await server.api("GET", "/api/v1/channels/none"), null);
  assert.equal((await fetch(`${server.url}/api/v1/channels/none`)).status, 401);
  assert.equal(await fetch(`${server.url}/healthz`).then((answer) => answer.text()), "ok\n");
  assert.equal(await fetch(`${server.url}/readyz`).then((answer) => answer.text()), "ready\n");
  assert.equal((await fetch(`${server.url}/mqtt`)).status, 426);
});
