// Media that cannot connect: no UDP gets to Firefox's host or from it. The page says why and goes on saying it, the other side
// is told, and once UDP gets through, trying again brings pictures.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { everybodyHome } from "../browser/people.mjs";
import { skip, Stage } from "./stage.mjs";

/** Longer than several attempts. */
const WATCHED_MS = 15_000;
let stage, alice, bob;

before(async () => {
  if (skip) return;
  stage = await Stage.set();
  ({ alice, bob } = stage);
});

afterEach(async () => {
  if (skip) return;
  stage.hosts.firefox.pass();
  await everybodyHome(alice, bob);
});

after(() => stage?.clear());

async function callWithoutUdp(caller, callee) {
  stage.hosts.firefox.drop("udp");
  await caller.calls(callee.user);
  await callee.isRung();
  await callee.answers();
}

/** The reason comes up at Alice and stays, and Bob sees that no picture gets through; prints how long each took. */
async function isSaid(t) {
  const began = performance.now();
  const after = (what) => () => t.diagnostic(`${what} after ${Math.round(performance.now() - began)} ms`);
  await Promise.all([
    alice.find("banner-no-media").waitFor().then(after("the reason is on the screen")),
    bob.page.locator("[data-testid=tile-alice].no_media").waitFor().then(after("the other side is told")),
  ]);
  await alice.writesDown("banner-no-media");
  await pause(WATCHED_MS);
  assert.deepEqual(await alice.wroteDown(), [], "the reason stands, and is the same");
}

test("who answers without UDP reads why, the caller is told, and trying again works when UDP does", { skip }, async (t) => {
  await callWithoutUdp(bob, alice);
  await isSaid(t);
  stage.hosts.firefox.pass();
  await alice.presses("try-again");
  await Promise.all([alice.sees("bob"), bob.sees("alice"), alice.hears(), bob.hears()]);
  await alice.find("banner-no-media").waitFor({ state: "detached" });
});

test("who calls without UDP reads why, and may leave", { skip }, async (t) => {
  await callWithoutUdp(alice, bob);
  await isSaid(t);
  await alice.hangsUp();
  await Promise.all([alice.isBackHome(), bob.isBackHome()]);
});
