// MQTT.js against a real server: over TCP, TLS and WebSocket, in both protocol versions.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import mqtt from "mqtt";
import { Server } from "../server.mjs";

let server;
const open = [];

before(async () => {
  server = await Server.start();
});

after(async () => {
  await Promise.all(open.map((client) => client.endAsync(true)));
  await server?.stop();
});

/** Connects and collects what arrives. */
async function connect(url, { client_id, username, password }, options = {}) {
  const client = mqtt.connect(url, {
    clientId: client_id,
    username,
    password,
    clean: false,
    protocolVersion: 5,
    properties: options.protocolVersion === 4 ? undefined : { sessionExpiryInterval: 3600 },
    reconnectPeriod: 0,
    ...options,
  });
  open.push(client);
  const arrived = [];
  const waiting = [];
  client.on("message", (topic, payload, packet) => {
    const message = { topic, payload: payload.toString(), packet };
    const next = waiting.shift();
    if (next) next(message);
    else arrived.push(message);
  });
  client.next = () =>
    new Promise((done, fail) => {
      const message = arrived.shift();
      if (message) return done(message);
      const late = setTimeout(() => fail(new Error("no message within 10 s")), 10_000);
      waiting.push((message) => {
        clearTimeout(late);
        done(message);
      });
    });
  await new Promise((done, fail) => {
    client.once("connect", done);
    client.once("error", fail);
  });
  return client;
}

const transports = {
  tcp: () => [`mqtt://localhost:${server.mqtt}`, {}],
  tls: () => [`mqtts://localhost:${server.mqtts}`, { ca: server.read("tls/ca.pem") }],
  websocket: () => [`ws://localhost:${server.http}/mqtt`, {}],
  "websocket over TLS": () => [`wss://localhost:${server.https}/mqtt`, { ca: server.read("tls/ca.pem") }],
};

function uuid7() {
  const time = Date.now().toString(16).padStart(12, "0");
  const random = randomUUID().replaceAll("-", "");
  const hex = `${time}7${random.slice(13, 16)}${"89ab"[Number.parseInt(random[16], 16) % 4]}${random.slice(17)}`;
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function request(type, fields) {
  const now = Date.now();
  return JSON.stringify({ v: 1, id: uuid7(), type, sent_at_ms: now, expires_at_ms: now + 30_000, ...fields });
}

for (const [name, transport] of Object.entries(transports)) {
  for (const protocolVersion of [4, 5]) {
    test(`a call rings over ${name} with protocol version ${protocolVersion}`, async () => {
      const [url, options] = transport();
      const key = `${name.replaceAll(/\W/g, "")}${protocolVersion}`;
      const callee = await server.register(`callee-${key}`, "js");
      const caller = await server.register(`caller-${key}`, "js");
      const bob = await connect(url, callee, { ...options, protocolVersion });
      const alice = await connect(url, caller, { ...options, protocolVersion });
      const meeting = uuid7();
      await alice.publishAsync("meeting-up/create", request("create", { meeting, callees: [`callee-${key}`], media: "audio" }), { qos: 1 });
      const ring = await bob.next();
      assert.equal(ring.topic, `ring-down/p2p/${callee.client_id}/invitation`);
      assert.equal(JSON.parse(ring.payload).meeting, meeting);
      const told = [(await alice.next()).topic];
      // The service may not have heard yet that the callee has connected.
      if (told[0].endsWith("/waiting")) told[0] = (await alice.next()).topic;
      assert.deepEqual(told, [`meeting-down/p2p/${caller.client_id}/admitted`]);
    });
  }
}

for (const receiveMaximum of [1, 2, 32, 1_000]) {
  test(`who was called by more than fit into a window of ${receiveMaximum} is answered what stands`, async () => {
    const CALLERS = 34;
    const url = `ws://localhost:${server.http}/mqtt`;
    const away = await server.register(`wanted-${receiveMaximum}`, "js");
    for (let n = 0; n < CALLERS; n++) {
      const caller = await connect(url, await server.register(`caller-${receiveMaximum}-${n}`, "js"));
      const create = { meeting: uuid7(), callees: [`wanted-${receiveMaximum}`], media: "audio" };
      await caller.publishAsync("meeting-up/create", request("create", create), { qos: 1 });
      await nextOf(caller, "admitted");
    }
    const properties = { sessionExpiryInterval: 3600, receiveMaximum };
    const callee = await connect(url, away, { properties });
    await callee.publishAsync("meeting-up/state", request("state", {}), { qos: 1 });
    const { rings } = JSON.parse((await nextOf(callee, "state")).payload);
    assert.ok(rings.length > 0);
  });
}

/** The next message of one type. */
async function nextOf(client, type) {
  const message = await client.next();
  return message.topic.endsWith(`/${type}`) ? message : nextOf(client, type);
}

test("a message to a device that is off arrives when it connects, with its user properties", async () => {
  const device = await server.register("away", "js");
  const service = await connect(`mqtt://localhost:${server.mqtt}`, { client_id: "GID_dev@@@js-service", ...server.service("GID_dev@@@js-service") });
  await service.publishAsync(`meeting-down/p2p/${device.client_id}/note`, "kept", {
    qos: 1,
    properties: { userProperties: { colour: "blue" }, contentType: "text/plain" },
  });
  const terminal = await connect(`mqtt://localhost:${server.mqtt}`, device);
  const message = await terminal.next();
  assert.equal(message.payload, "kept");
  assert.equal(message.packet.properties.userProperties.colour, "blue");
  assert.equal(message.packet.properties.contentType, "text/plain");
});
