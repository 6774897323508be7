// How loud a ring is: one tab of a user is heard, a second ring and one in a call are not more than a short tone.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, everybodyHome, open } from "./people.mjs";

/** The highest note of the ring, twice in each tune; the note of a ring that disturbs nobody. */
const [RING_HZ, KNOCK_HZ] = [1175, 587];
/** The tone that says that somebody is busy. */
const BUSY_HZ = 425;
let server, browser, profile, alice, carol, bob;

before(async () => {
  server = await Server.start();
  browser = await launch();
  profile = await browser.newContext();
  [alice, carol] = await Promise.all(["alice", "carol"].map((user) => open(browser, server, user)));
  bob = [await open(profile, server, "bob")];
  while (bob.length < 4) bob.push(await bob[0].opensAnotherTab());
  for (const tab of bob) await isReady(tab);
});

afterEach(() => everybodyHome(alice, carol, ...bob));

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function isReady(tab) {
  await tab.findsEverybody();
  await tab.presses("ready");
  await tab.find("test-ring").waitFor();
}

const tones = (tab, hz) => tab.page.evaluate((wanted) => window.observed.tones.filter((tone) => tone === wanted).length, hz);
const tonesOf = (tabs, hz) => Promise.all(tabs.map((tab) => tones(tab, hz)));
const heard = (tab, hz, before, more = 1) => tab.until(async () => (await tones(tab, hz)) >= before + more, `${more} tones of ${hz} Hz`);

/** The one tab that has begun to ring since; the others have had the same time to. */
async function rings(tabs, before) {
  let loud = [];
  await tabs[0].until(async () => {
    const now = await tonesOf(tabs, RING_HZ);
    loud = tabs.filter((_, i) => now[i] > before[i]);
    return loud.length > 0;
  }, "a tab rings");
  const [one] = loud;
  const at = tabs.indexOf(one);
  // The tune came once more: any other tab would have begun by now.
  await heard(one, RING_HZ, before[at], 4);
  const now = await tonesOf(tabs, RING_HZ);
  assert.deepEqual(tabs.filter((_, i) => now[i] > before[i]).length, 1, "more than one tab rings");
  return one;
}

test("of four tabs one is heard; when it is closed another takes over, and a silenced ring is silent in all", async () => {
  const before = await tonesOf(bob, RING_HZ);
  await alice.calls("bob");
  await Promise.all(bob.map((tab) => tab.isRung()));
  const loud = await rings(bob, before);
  await loud.closes();
  const rest = bob.filter((tab) => tab !== loud);
  const next = await rings(rest, await tonesOf(rest, RING_HZ));
  const [other] = rest.filter((tab) => tab !== next);
  await other.presses("silence");
  await Promise.all(rest.map((tab) => tab.reads("The ring is silent")));
  const silent = await tonesOf(rest, RING_HZ);
  await alice.hangsUp();
  await Promise.all(rest.map((tab) => tab.isNotRung()));
  assert.deepEqual(await tonesOf(rest, RING_HZ), silent);
  bob = [...rest, await next.opensAnotherTab()];
  await isReady(bob[3]);
});

test("a second ring is a short tone and a card; it may be declined, and becomes the first when the first goes", async () => {
  const [first] = bob;
  await alice.calls("bob");
  await first.isRung();
  const before = await tonesOf(bob, KNOCK_HZ);
  await carol.calls("bob");
  await first.find("ring-carol").waitFor();
  await first.until(async () => (await tonesOf(bob, KNOCK_HZ)).some((count, i) => count > before[i]), "a short tone is heard");
  assert.equal(await first.page.locator("dialog[open]").count(), 1);
  await first.presses("decline-other");
  await carol.reads("Bob declined");
  await carol.presses("call-again");
  await first.find("ring-carol").waitFor();
  await alice.hangsUp();
  await first.page.locator("#incoming-title", { hasText: "Carol" }).waitFor();
  await first.find("ring-carol").waitFor({ state: "detached" });
  await first.presses("decline");
  await carol.reads("Bob declined");
});

test("a second ring is answered from its card, and the first goes on as a card in that call", async () => {
  const [first] = bob;
  await alice.calls("bob");
  await first.isRung();
  await carol.calls("bob");
  await first.presses("accept-other");
  await Promise.all([first.sees("carol"), carol.sees("bob")]);
  await first.find("ring-alice").waitFor();
  assert.equal(await first.find("incoming").count(), 0, "no dialog covers the call");
  await first.find("ring-alice").getByTestId("accept-other").click();
  await Promise.all([first.sees("alice"), alice.sees("bob")]);
  await carol.isBackHome();
});

test("two people in one browser are each heard, by their own ring", async (t) => {
  const dora = await open(profile, server, "carol");
  t.after(() => dora.closes());
  await isReady(dora);
  const before = await tonesOf([dora], RING_HZ);
  const bobs = await tonesOf(bob, RING_HZ);
  await alice.calls("carol");
  await dora.isRung();
  await rings([dora], before);
  assert.deepEqual(await tonesOf(bob, RING_HZ), bobs);
});

test("who calls somebody in a call hears that they are busy, and is called back from a card in that call", async () => {
  const [inCall] = bob;
  await connect(alice, inCall);
  const [busy, rung] = [await tones(carol, BUSY_HZ), await tonesOf(bob, RING_HZ)];
  await carol.calls("bob");
  await carol.reads("Bob is in another call");
  await heard(carol, BUSY_HZ, busy);
  await inCall.find("called-carol").waitFor();
  assert.deepEqual(await tonesOf(bob, RING_HZ), rung, "a tab rings for somebody who is in a call");
  await inCall.find("called-carol").getByTestId("call-back").click();
  await inCall.reads("Calling back leaves this call.");
  await inCall.presses("stay");
  await inCall.sees("alice");
  await inCall.find("called-carol").getByTestId("call-back").click();
  await inCall.presses("leave-and-call");
  await carol.isRung();
  await carol.answers();
  await Promise.all([inCall.sees("carol"), carol.sees("bob")]);
  await alice.isBackHome();
});
