// The official RocketMQ 5 client for Node.js against a real server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import rocketmq from "rocketmq-client-nodejs";
import { Server } from "../server.mjs";

const { ConsumeResult, Producer, PushConsumer, SimpleConsumer } = rocketmq;

let server;
const open = [];
/** Else it writes its log below the home of whoever runs the tests. */
const silent = Object.fromEntries(["debug", "info", "warn", "error", "close"].map((level) => [level, () => {}]));

before(async () => {
  const topics = 'queue.topics=["orders","pushed","shared","later:delay","steps:fifo","line:fifo"]';
  server = await Server.start([topics, 'queue.groups=["shop","audit","push","line:fifo"]']);
});

after(async () => {
  await Promise.all(open.map((client) => client.shutdown()));
  await server?.stop();
  // A push consumer that is shut down goes on asking, for ever.
  setTimeout(() => process.exit(), 1_000).unref();
});

function options(more, key = JSON.parse(server.read("access-key"))) {
  const sessionCredentials = { accessKey: key.key_id, accessSecret: key.secret };
  return { endpoints: `127.0.0.1:${server.queue}`, namespace: "", logger: silent, sessionCredentials, ...more };
}

async function started(client) {
  await client.startup();
  open.push(client);
  return client;
}

const producer = (topic) => started(new Producer(options({ topic })));
const consumer = (consumerGroup, topic, tags = "*") => {
  const subscriptions = new Map([[topic, tags]]);
  return started(new SimpleConsumer(options({ consumerGroup, subscriptions, awaitDuration: 5_000 })));
};

test("a message arrives as it was sent, and once it is acknowledged it is over", async () => {
  const [sender, shop] = [await producer("orders"), await consumer("shop", "orders")];
  const properties = new Map([["colour", " red "], ["json", '{"😀":""}']]);
  const body = Buffer.from([0, 255, 10]);
  const receipt = await sender.send({ topic: "orders", tag: "new", keys: ["k1", "k2"], properties, body });
  const [got, ...more] = await shop.receive(16, 10_000);
  assert.deepEqual([got.messageId, got.tag, got.keys, more], [receipt.messageId, "new", ["k1", "k2"], []]);
  assert.deepEqual([got.body, got.properties, got.deliveryAttempt, got.corrupted ?? false], [body, properties, 1, false]);
  await shop.ack(got);
  await sender.send({ topic: "orders", body: Buffer.from("next") });
  const [next] = await shop.receive(16, 10_000);
  assert.equal(next.body.toString(), "next");
  await shop.ack(next);
  await assert.rejects(shop.ack(next), /40013/);
});

test("a message comes again when its consumer says so", async () => {
  const [sender, audit] = [await producer("orders"), await consumer("audit", "orders", "again")];
  const { messageId } = await sender.send({ topic: "orders", tag: "again", body: Buffer.from("x") });
  const [first] = await audit.receive(16, 10_000);
  await audit.changeInvisibleDuration(first, 0);
  const [second] = await audit.receive(16, 10_000);
  assert.deepEqual([second.messageId, second.deliveryAttempt], [messageId, 2]);
  await audit.ack(second);
});

test("a message waits for its time, and can be recalled until then", async () => {
  const [sender, shop] = [await producer("later"), await consumer("shop", "later")];
  const recalled = await sender.send({ topic: "later", delay: 3_600_000, body: Buffer.from("recalled") });
  assert.equal((await sender.recallMessage("later", recalled.recallHandle)).messageId, recalled.messageId);
  await sender.send({ topic: "later", delay: 1_000, body: Buffer.from("soon") });
  const [got] = await shop.receive(16, 10_000);
  assert.equal(got.body.toString(), "soon");
  await shop.ack(got);
});

test("a push consumer gets again what it could not process", async () => {
  const seen = [];
  const twice = new Promise((done) => {
    const messageListener = {
      async consume({ body, deliveryAttempt }) {
        seen.push([body.toString(), deliveryAttempt]);
        if (deliveryAttempt < 2) return ConsumeResult.FAILURE;
        done();
        return ConsumeResult.SUCCESS;
      },
    };
    const subscriptions = new Map([["pushed", "*"]]);
    started(new PushConsumer(options({ consumerGroup: "push", subscriptions, messageListener })));
  });
  await (await producer("pushed")).send({ topic: "pushed", body: Buffer.from("one") });
  await twice;
  assert.deepEqual(seen, [["one", 1], ["one", 2]]);
});

/** Each to the message group of its first letter. */
async function sendAll(topic, bodies) {
  const sender = await producer(topic);
  for (const body of bodies) await sender.send({ topic, messageGroup: body[0], body: Buffer.from(body) });
}

test("messages of a group come in their order, also again", async () => {
  const shop = await consumer("shop", "steps");
  await sendAll("steps", ["a1", "a2", "b1"]);
  const came = async () => (await shop.receive(16, 10_000)).map((got) => [got, `${got.body} ${got.deliveryAttempt}`]);
  const first = await came();
  assert.deepEqual(first.map(([, text]) => text), ["a1 1", "b1 1"]);
  assert.equal(first[0][0].messageGroup, "a");
  await shop.ack(first[1][0]);
  await shop.changeInvisibleDuration(first[0][0], 0);
  for (const expected of ["a1 2", "a2 1"]) {
    const [[got, text]] = await came();
    assert.equal(text, expected);
    await shop.ack(got);
  }
});

test("a push consumer processes a message again before the next one of its group", async () => {
  const seen = [];
  const all = new Promise((done) => {
    const messageListener = {
      async consume({ body }) {
        seen.push(body.toString());
        if (seen.length === 4) done();
        return seen.length === 1 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
      },
    };
    const subscriptions = new Map([["line", "*"]]);
    started(new PushConsumer(options({ consumerGroup: "line", subscriptions, messageListener })));
  });
  await sendAll("line", ["a1", "a2", "a3"]);
  await all;
  assert.deepEqual(seen, ["a1", "a1", "a2", "a3"]);
});

test("a push consumer gives up what it cannot process after the attempts of its group", async () => {
  await server.api("POST", "/api/v1/queue-topics", { topic: "paid", type: "fifo" });
  await server.api("POST", "/api/v1/queue-groups", { group: "slow", max_attempts: 2, fifo: true });
  const seen = [];
  const all = new Promise((done) => {
    const messageListener = {
      async consume({ body }) {
        seen.push(body.toString());
        if (body.toString() === "a poison") return ConsumeResult.FAILURE;
        done();
        return ConsumeResult.SUCCESS;
      },
    };
    const subscriptions = new Map([["paid", "*"]]);
    started(new PushConsumer(options({ consumerGroup: "slow", subscriptions, messageListener })));
  });
  await sendAll("paid", ["a poison", "a next"]);
  await all;
  assert.deepEqual(seen, ["a poison", "a poison", "a next"]);
  const letters = await server.api("GET", "/api/v1/queue-groups/slow/dead-letters");
  assert.deepEqual(letters.items.map(({ payload }) => payload), ["a poison"]);
});

test("a forged terminal and a wrong secret are refused", async () => {
  const key = await server.api("POST", "/api/v1/keys", { key: "plain", kind: "access", scopes: ["topics"] });
  const plain = await started(new Producer(options({ topic: "shared" }, { key_id: key.key, secret: key.secret })));
  for (const name of ["clientId", "convokeUser", "convokeArrivedMs"]) {
    const properties = new Map([[name, "GID_dev@@@alice"]]);
    await assert.rejects(plain.send({ topic: "shared", properties, body: Buffer.from("x") }), /40007/);
  }
  const wrong = new Producer(options({ topic: "shared" }, { key_id: "dev", secret: "wrong" }));
  await assert.rejects(wrong.startup(), (error) => /Failed to fetch topic routes/.test(String(error)));
  await wrong.shutdown();
});

test("a message of another type is refused by the client, which knows the topic's", async () => {
  const sender = await producer("shared");
  await assert.rejects(sender.send({ topic: "shared", messageGroup: "one", body: Buffer.from("x") }), /message.?type/i);
});
