// Two people who call each other, one of them over a link that holds back what the page says.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { everybodyHome, open } from "./people.mjs";

let server, browser, alice, bob, uplink;

before(async () => {
  server = await Server.start();
  browser = await launch();
  uplink = new Uplink();
  alice = await open(browser, server, "alice");
  bob = await open(browser, server, "bob", { route: (context) => uplink.carries(context) });
  await Promise.all([alice.findsEverybody(), bob.findsEverybody()]);
});

afterEach(async () => {
  uplink.release();
  await everybodyHome(alice, bob);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** What a page sends by WebSocket, which can be held back; what it receives goes through. */
class Uplink {
  held = undefined;

  carries(context) {
    return context.routeWebSocket(/\/mqtt$/, (socket) => {
      const upstream = socket.connectToServer();
      socket.onMessage((message) => (this.held ? this.held.push(() => upstream.send(message)) : upstream.send(message)));
    });
  }

  hold() {
    this.held = [];
  }

  release() {
    const held = this.held ?? [];
    this.held = undefined;
    for (const send of held) send();
  }
}

async function theyCallEachOther() {
  uplink.hold();
  await bob.calls("alice");
  await bob.find("calling").waitFor();
  await alice.calls("bob");
  await bob.isRung();
}

test("accept is pressed before the own call has met the other: they are in one call, and stay in it", async () => {
  await bob.writesDown("live");
  await theyCallEachOther();
  await bob.answers();
  uplink.release();
  await Promise.all([alice.sees("bob"), bob.sees("alice"), alice.hears(), bob.hears()]);
  await alice.find("people").click();
  await alice.find("member-bob").waitFor();
  assert.deepEqual((await bob.wroteDown()).filter((words) => /another device|Call ended/.test(words)), []);
});

test("nothing is pressed: the ring becomes the call, without a word of another device", async () => {
  await bob.writesDown("live");
  await theyCallEachOther();
  uplink.release();
  await bob.isNotRung();
  await Promise.all([alice.sees("bob"), bob.sees("alice"), alice.hears(), bob.hears()]);
  assert.deepEqual((await bob.wroteDown()).filter((words) => /another device|Call ended/.test(words)), []);
});
