// What dies without a word: the server in a call, the server while an invitation waits, the page that rings.

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

test("a call goes on by itself after the server was killed and started again", async (t) => {
  await connect(alice, bob);
  const before = await Promise.all([alice, bob].map((person) => person.connections()));
  await Promise.all([alice, bob].map((person) => person.writesDown("banner-down")));
  await server.kill();
  await Promise.all([alice, bob].map((person) => person.find("banner-down").waitFor()));
  // Long enough for a page to have looked at its media path again.
  await Promise.all([alice, bob].map((person) => person.stops("inbound-rtp", "audio", "packetsReceived")));
  const began = performance.now();
  await server.run();
  await Promise.all([alice, bob].map((person) => person.find("banner-down").waitFor({ state: "detached" })));
  await Promise.all([alice.sees("bob"), bob.sees("alice"), alice.hears(), bob.hears()]);
  t.diagnostic(`pictures and sound are back ${Math.round(performance.now() - began)} ms after the start`);
  const after = await Promise.all([alice, bob].map((person) => person.connections()));
  assert.ok(after.every((count, n) => count > before[n]), "the server knows nothing of the connections before it");
  assert.equal(await bob.rings(), 1);
  for (const person of [alice, bob]) {
    assert.deepEqual((await person.wroteDown()).filter((words) => words.includes("go on")), [], "media died with the server");
  }
});

test("an invitation that waits for somebody who is away outlives the server, and rings once", async () => {
  await bob.closes();
  await alice.findsThatIs("Offline", "bob");
  await alice.calls("bob");
  await alice.reads(/Offline: rings if back before/);
  await server.kill();
  await server.run();
  await bob.comesBack();
  await bob.isRung();
  await alice.reads("Ringing…");
  await bob.answers();
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
  assert.equal(await bob.rings(), 1);
  await bob.hangsUp();
  await Promise.all([alice.isBackHome(), bob.isBackHome()]);
  await bob.reloads();
  await bob.isOnline();
  await bob.find("contacts").waitFor();
  assert.equal(await bob.rings(), 0, "nothing is left to ring");
  assert.equal(await bob.find("missed-alice").count(), 0);
});

test("the same ring goes on when the page that rang has died and is opened again", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await bob.crashes();
  await bob.comesBack();
  await bob.isRung();
  assert.equal(await alice.find("calling").count(), 1, "Alice still waits for an answer");
  await bob.answers();
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
  assert.equal(await bob.rings(), 1);
});

test("a call that was given up while the page was dead is one missed call, and no ring", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await bob.crashes();
  await alice.hangsUp();
  await alice.isBackHome();
  await bob.comesBack();
  await bob.find("missed-alice").waitFor();
  assert.equal(await bob.find("missed-alice").count(), 1);
  assert.equal(await bob.rings(), 0);
  await bob.presses("dismiss-missed");
});

test("a missed call appears once in each tab, and seen in one it is seen in both", async (t) => {
  const other = await bob.opensAnotherTab();
  t.after(() => other.closes());
  await other.findsEverybody();
  await alice.calls("bob");
  await Promise.all([bob.isRung(), other.isRung()]);
  await alice.hangsUp();
  for (const tab of [bob, other]) {
    await tab.isNotRung();
    await tab.find("missed-alice").waitFor();
    assert.equal(await tab.find("missed-alice").count(), 1);
  }
  await other.reloads();
  await other.find("missed-alice").waitFor();
  assert.equal(await other.find("missed-alice").count(), 1);
  await bob.presses("dismiss-missed");
  await Promise.all([bob, other].map((tab) => tab.find("missed-alice").waitFor({ state: "detached" })));
  await other.reloads();
  await other.isOnline();
  assert.equal(await other.find("missed-alice").count(), 0);
});
