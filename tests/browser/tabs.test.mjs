// Several tabs of one browser: two people, one person twice, and one tab more than a person has devices.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, everybodyHome, open } from "./people.mjs";

let server, browser, profile, alice, bob;

before(async () => {
  server = await Server.start();
  browser = await launch();
  profile = await browser.newContext();
  alice = await open(profile, server, "alice");
  bob = await open(profile, server, "bob", { link: "&speaker=off" });
  await Promise.all([alice.findsEverybody(), bob.findsEverybody()]);
});

afterEach(() => everybodyHome(alice, bob));

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("the links of two people work in two tabs of one browser, and they call each other", async () => {
  assert.match(await alice.find("me").textContent(), /Alice/);
  assert.match(await bob.find("me").textContent(), /Bob/);
  await bob.reads("Speaker is off");
  await connect(alice, bob);
  await alice.hears();
});

test("a tab whose link turned its speaker off plays nothing until it is turned on", async () => {
  await connect(alice, bob);
  const silent = () => bob.find("voice").evaluateAll((voices) => voices.map(({ muted }) => muted));
  assert.ok((await silent()).every(Boolean));
  await bob.presses("speaker-on");
  await bob.plays();
});

test("the secret is gone from the address bar, and a reload stays signed in", async () => {
  assert.equal(new URL(alice.page.url()).hash, "");
  await alice.reloads();
  await alice.findsEverybody();
  assert.match(await alice.find("me").textContent(), /Alice/);
});

test("one person in two tabs has two devices: both ring, one answers, the other stops", async (t) => {
  const other = await bob.opensAnotherTab();
  t.after(() => other.closes());
  await other.findsEverybody();
  await alice.calls("bob");
  await Promise.all([bob.isRung(), other.isRung()]);
  await other.answers();
  await bob.isNotRung();
  await Promise.all([alice.sees("bob"), other.sees("alice")]);
  await bob.reads("You are in a call on another device.");
  await other.hangsUp();
  await bob.page.getByText("You are in a call on another device.").waitFor({ state: "detached" });
  assert.equal(await bob.find("missed-alice").count(), 0);
});

test("a fifth tab takes the first device over, and the first tab takes it back", async (t) => {
  const tabs = [bob];
  while (tabs.length < 5) {
    const tab = await bob.opensAnotherTab();
    t.after(() => tab.closes());
    await tab.findsEverybody();
    tabs.push(tab);
  }
  const [first, second, third, fourth, fifth] = tabs;
  await first.reads("Convoke is open elsewhere");
  await first.presses("use-here");
  await first.isOnline();
  await fifth.reads("Convoke is open elsewhere");
  await alice.calls("bob");
  await Promise.all([first, second, third, fourth].map((tab) => tab.isRung()));
  assert.equal(await fifth.rings(), 0, "a tab that is no device does not ring");
  await first.presses("decline");
  await Promise.all([second, third, fourth].map((tab) => tab.isNotRung()));
  await alice.reads("Bob declined");
});
