// Tabs that are closed while it rings and in a call: the others are told some seconds later, not at a time-out.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, everybodyHome, open } from "./people.mjs";

let server, browser, alice, bob;

before(async () => {
  server = await Server.start();
  browser = await launch();
  alice = await open(browser, server, "alice");
  bob = await open(browser, server, "bob");
  await Promise.all([alice.findsEverybody(), bob.findsEverybody()]);
});

afterEach(() => everybodyHome(...[alice, bob].filter(({ page }) => !page.isClosed())));

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function comesBack(person) {
  await person.comesBack();
  await person.isOnline();
  await person.findsEverybody();
}

test("a caller closes the tab while it rings: the ring ends", async (t) => {
  t.after(() => comesBack(alice));
  await alice.calls("bob");
  await bob.isRung();
  const began = performance.now();
  await alice.closes();
  await bob.isNotRung();
  t.diagnostic(`the ring ended ${Math.round(performance.now() - began)} ms after the tab was closed`);
});

test("a tab is closed in a call: the other is told", async (t) => {
  t.after(() => comesBack(alice));
  await connect(alice, bob);
  await bob.writesDown("live");
  const began = performance.now();
  await alice.closes();
  await bob.isBackHome();
  const words = (await bob.wroteDown()).filter((said) => /lost|left|ended/.test(said));
  assert.equal(words.length, 1, JSON.stringify(words));
  t.diagnostic(`the peer was told ${Math.round(performance.now() - began)} ms after the tab was closed`);
});
