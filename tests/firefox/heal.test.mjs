// A call of Firefox and Chromium after the server was killed, and after links were cut: pictures and sound come back by themselves.

import { after, afterEach, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connect, everybodyHome } from "../browser/people.mjs";
import { skip, Stage } from "./stage.mjs";

/** Longer than media lasts without packets. */
const OUTAGE_MS = 6_000;
/** How long the pages may take here: what is a bar is measured by `make healing`. */
const HEALS_WITHIN_MS = 30_000;
let stage, alice, bob;

before(async () => {
  if (skip) return;
  stage = await Stage.set();
  ({ alice, bob } = stage);
  for (const { page } of [alice, bob]) page.setDefaultTimeout(HEALS_WITHIN_MS);
});

afterEach(() => skip || everybodyHome(alice, bob));

after(() => stage?.clear());

/** They see and hear each other again; prints how long that took. */
async function heals(t) {
  const began = performance.now();
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
  t.diagnostic(`pictures are back at both ${Math.round(performance.now() - began)} ms after the way is there again`);
  await Promise.all([alice.hears(), bob.hears()]);
}

test("the server is killed and comes back", { skip }, async (t) => {
  await connect(alice, bob);
  await stage.server.kill();
  await Promise.all([alice, bob].map((person) => person.find("banner-down").waitFor()));
  await stage.server.run();
  await heals(t);
  await Promise.all([alice, bob].map((person) => person.find("banner-down").waitFor({ state: "detached" })));
});

test("the server's link is cut and mended", { skip }, async (t) => {
  await connect(alice, bob);
  stage.hosts.server.unplug();
  await pause(OUTAGE_MS);
  stage.hosts.server.plug();
  await heals(t);
});

test("packets of Firefox's host are lost for a while", { skip }, async (t) => {
  await connect(alice, bob);
  stage.hosts.firefox.drop();
  await pause(OUTAGE_MS);
  stage.hosts.firefox.pass();
  await heals(t);
});

test("packets of Chromium's host are lost for a while", { skip }, async (t) => {
  await connect(bob, alice);
  stage.hosts.chromium.drop();
  await pause(OUTAGE_MS);
  stage.hosts.chromium.pass();
  await heals(t);
});

test("Chromium's host comes to another address", { skip }, async (t) => {
  await connect(alice, bob);
  stage.hosts.chromium.moves();
  await heals(t);
});
