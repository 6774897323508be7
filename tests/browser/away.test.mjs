// Pages that go away while their users stay in the call, and hanging up: what the others read.

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

afterEach(() => everybodyHome(alice, bob));

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("who hangs up has left: the other reads that once, nothing of a lost connection, and no title stays behind", async () => {
  await connect(alice, bob);
  await Promise.all([alice, bob].map((person) => person.writesDown("live")));
  await alice.hangsUp();
  await Promise.all([alice.isBackHome(), bob.isBackHome()]);
  const words = (await bob.wroteDown()).filter((said) => /lost|left|ended/.test(said));
  assert.equal(words.length, 1, JSON.stringify(words));
  assert.match(words[0], /^Call ended/);
  for (const person of [alice, bob]) await person.page.waitForFunction(() => document.title === "Convoke");
});

test("a page is reloaded in a call: it goes on, and nobody reads that anyone left", async () => {
  await connect(alice, bob);
  await alice.writesDown("live");
  await bob.reloads();
  await Promise.all([alice.sees("bob"), bob.sees("alice"), alice.hears(), bob.hears()]);
  assert.deepEqual((await alice.wroteDown()).filter((said) => /left|ended/.test(said)), []);
  assert.equal(await bob.rings(), 0);
});

test("a page is reloaded while it rings at the other: the ring goes on", async () => {
  await alice.calls("bob");
  await bob.isRung();
  const rings = await bob.rings();
  await alice.reloads();
  await alice.find("calling").waitFor();
  await bob.answers();
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
  assert.equal(await bob.rings(), rings);
});
