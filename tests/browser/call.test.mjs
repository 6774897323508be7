// Calls between pages in Chromium, against a real server: pictures, sound, and what host and members may do.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { PICTURES, readNumbers, steps, writeNumberedCamera } from "./numbered-camera.mjs";
import { connect, everybodyHome, LAPTOP, open, PHONE } from "./people.mjs";
import { read } from "./words.mjs";

const folder = mkdtempSync(join(tmpdir(), "convoke-camera-"));
let server, browsers, alice, bob, carol;

before(async () => {
  const camera = join(folder, "numbers.y4m");
  writeNumberedCamera(camera);
  server = await Server.start();
  browsers = await Promise.all([launch({ camera }), launch()]);
  alice = await open(browsers[0], server, "alice", { viewport: LAPTOP });
  bob = await open(browsers[1], server, "bob", { viewport: PHONE });
  carol = await open(browsers[1], server, "carol");
  await Promise.all([alice, bob, carol].map((person) => person.findsEverybody()));
});

afterEach(() => everybodyHome(alice, bob, carol));

after(async () => {
  await Promise.all((browsers ?? []).map((browser) => browser.close()));
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("two pages ring, answer, see and hear each other", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await alice.reads("Ringing…");
  assert.match(read(await bob.page.title()), /Alice is calling/);
  await bob.answers();
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
  await Promise.all([alice.hears(), bob.hears()]);
  await Promise.all([alice, bob].map((person) => person.rises("inbound-rtp", "video", "framesDecoded")));
});

test("a call is one connection a side, made while it rings", async () => {
  const before = await bob.connections();
  await alice.calls("bob");
  await bob.isRung();
  await bob.page.waitForFunction(() => window.observed.connections.at(-1)?.connectionState === "connected");
  assert.equal(await bob.page.evaluate(packetsOfTheNewest), 0, "nothing flows before the answer");
  assert.equal(await bob.page.evaluate(() => window.observed.connections.at(-1).getSenders().filter(({ track }) => track).length), 0);
  await bob.answers();
  await bob.sees("alice");
  assert.equal(await bob.connections(), before + 1);
});

/** In the page: what has come in on the newest connection. */
async function packetsOfTheNewest() {
  const reports = await window.observed.connections.at(-1).getStats();
  const received = [...reports.values()].filter(({ type }) => type === "inbound-rtp").map((each) => each.packetsReceived);
  return received.reduce((sum, count) => sum + count, 0);
}

test("pictures arrive in the order in which the camera took them", async (t) => {
  await connect(alice, bob);
  const numbers = await readNumbers(bob, "alice", 40);
  const ahead = steps(numbers);
  t.diagnostic(`pictures ${numbers[0]} to ${numbers.at(-1)}, at most ${Math.max(...ahead)} ahead of the one before`);
  assert.ok(ahead.every((step) => step < PICTURES / 2), `not in order: ${numbers}`);
  assert.ok(new Set(numbers).size > 20, `a picture that stands still: ${numbers}`);
});

test("who mutes sends no more sound, and is marked at the others", async () => {
  await connect(alice, bob);
  await bob.hears();
  await alice.page.keyboard.press("m");
  await bob.tile("alice").getByTestId("mark-muted").waitFor();
  await bob.stops("inbound-rtp", "audio", "packetsReceived");
  await bob.sees("alice");
  await alice.page.keyboard.press("m");
  await bob.tile("alice").getByTestId("mark-muted").waitFor({ state: "detached" });
  await bob.hears();
});

test("a camera goes off and on again without another connection", async () => {
  await connect(alice, bob);
  const connections = await alice.connections();
  await bob.presses("camera");
  await alice.doesNotSee("bob");
  await alice.hears();
  await bob.presses("camera");
  await alice.sees("bob");
  assert.equal(await alice.connections(), connections);
});

test("speech that the host blocks is not forwarded, although the terminal goes on sending it", async () => {
  await connect(alice, bob);
  await alice.asHost("block", "bob");
  await bob.find("banner-blocked").waitFor();
  await bob.rises("outbound-rtp", "audio", "packetsSent");
  await alice.stops("inbound-rtp", "audio", "packetsReceived");
  await bob.rises("outbound-rtp", "audio", "packetsSent");
  await alice.sees("bob");
  await alice.asHost("unblock", "bob");
  await bob.find("banner-blocked").waitFor({ state: "detached" });
  await alice.hears();
});

test("the host mutes and asks, and the member unmutes", async () => {
  await connect(alice, bob);
  await alice.asHost("mute", "bob");
  await bob.find("self").getByTestId("mark-muted").waitFor();
  await alice.stops("inbound-rtp", "audio", "packetsReceived");
  await alice.asHost("ask", "bob");
  await bob.presses("answer-ask");
  await bob.find("self").getByTestId("mark-muted").waitFor({ state: "detached" });
  await alice.hears();
});

test("a page that is reloaded in mid-call is in the call again by itself", async () => {
  await connect(alice, bob);
  await bob.reloads();
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
  await Promise.all([alice.hears(), bob.hears()]);
  assert.equal(await bob.rings(), 0);
});

test("a third person is rung into the call, all see all, and the host removes and ends", async () => {
  await connect(alice, bob);
  await alice.invites("carol");
  await carol.isRung();
  await carol.reads("Also there: Bob");
  await carol.answers();
  await Promise.all([carol.sees("alice"), carol.sees("bob"), alice.sees("carol"), bob.sees("carol")]);
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
  await alice.page.keyboard.press("Escape");
  await alice.asHost("kick", "carol");
  await carol.reads("You were removed from the call");
  await bob.tile("carol").waitFor({ state: "detached" });
  await alice.endsForAll();
  await bob.isBackHome();
  await bob.reads("The host ended the call");
  await alice.isBackHome();
});

test("who hangs up ends a call of two for both", async () => {
  await connect(alice, bob);
  await bob.hangsUp();
  await Promise.all([alice.isBackHome(), bob.isBackHome()]);
  await alice.findsThatIs("Online", "bob");
});

test("who is called declines, and the caller reads so", async () => {
  await alice.calls("bob", { video: false });
  await bob.isRung();
  await bob.presses("decline");
  await alice.reads("Bob declined");
  await bob.isNotRung();
});

test("two people who call each other at once are in one call", async () => {
  await Promise.all([alice.callsAtOnce("bob"), bob.callsAtOnce("alice")]);
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
});

test("no page has thrown, or broken its content security policy", () => {
  assert.deepEqual([alice, bob, carol].flatMap((person) => person.errors), []);
});
