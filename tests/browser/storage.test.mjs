// A browser that stops keeping things: what rings goes on to ring, and the person is told once.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { open } from "./people.mjs";

const WORDS = "This browser keeps nothing just now: a call may ring again after a reload.";
let server, browser, alice;

before(async () => {
  server = await Server.start();
  browser = await launch();
  alice = await open(browser, server, "alice");
  await alice.findsEverybody();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** In the page, before its own code: counts its sockets, and lets a test break its databases. */
function breakable() {
  const Plain = window.WebSocket;
  window.sockets = 0;
  window.WebSocket = class extends Plain {
    constructor(...args) {
      super(...args);
      window.sockets += 1;
    }
  };
  const begin = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (...args) {
    if (window.storageFails) throw new DOMException("The database connection is closing.", "InvalidStateError");
    return begin.apply(this, args);
  };
}

function neverOpens() {
  IDBFactory.prototype.open = () => new EventTarget();
}

/** One call rings once, is ended by the caller and is missed. */
async function isRungOnceBy(caller, callee) {
  const before = await callee.rings();
  await caller.calls(callee.user);
  await callee.isRung();
  await caller.hangsUp();
  await callee.isNotRung();
  await callee.find(`missed-${caller.user}`).waitFor();
  assert.equal(await callee.rings(), before + 1);
  await callee.presses("dismiss-missed");
  await caller.isBackHome();
}

test("a database that fails in mid-life: said once, calls ring once each, and the connection stays", async () => {
  const bob = await open(browser, server, "bob", { init: breakable });
  await bob.findsEverybody();
  await isRungOnceBy(alice, bob);
  const sockets = await bob.page.evaluate(() => window.sockets);
  await bob.writesDown("live");
  await bob.page.evaluate(() => (window.storageFails = true));
  await isRungOnceBy(alice, bob);
  await isRungOnceBy(alice, bob);
  await bob.isOnline();
  assert.equal(await bob.page.evaluate(() => window.sockets), sockets, "no connection was made again");
  assert.deepEqual((await bob.wroteDown()).filter((said) => said === WORDS), [WORDS]);
  await bob.context.close();
});

test("a database that never answers: the page signs in, says so, and rings", async () => {
  const bob = await open(browser, server, "bob", { init: neverOpens });
  await bob.reads(WORDS);
  await bob.isOnline();
  await isRungOnceBy(alice, bob);
  await bob.context.close();
});
