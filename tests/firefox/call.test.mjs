// Calls between Firefox and Chromium over a real network: HTTPS with the built-in authority, media at an address of an interface.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { connect, everybodyHome } from "../browser/people.mjs";
import { skip, Stage } from "./stage.mjs";

let stage, alice, bob;

before(async () => {
  if (skip) return;
  stage = await Stage.set();
  ({ alice, bob } = stage);
});

afterEach(() => skip || everybodyHome(alice, bob));

after(() => stage?.clear());

test("Firefox calls Chromium: both see and hear each other", { skip }, async () => {
  await connect(alice, bob);
  await Promise.all([alice.hears(), bob.hears()]);
});

test("Chromium calls Firefox: both see and hear each other", { skip }, async () => {
  await connect(bob, alice);
  await Promise.all([alice.hears(), bob.hears()]);
});

test("Firefox mutes, stops its picture and shows it again on one connection", { skip }, async () => {
  await connect(alice, bob);
  const connections = await alice.connections();
  await alice.presses("mic");
  await bob.tile("alice").getByTestId("mark-muted").waitFor();
  await bob.stops("inbound-rtp", "audio", "packetsReceived");
  await alice.presses("camera");
  await bob.doesNotSee("alice");
  await alice.presses("camera");
  await bob.sees("alice");
  assert.equal(await alice.connections(), connections);
});

test("a page in Firefox that is reloaded in mid-call is in the call again by itself", { skip }, async () => {
  await connect(alice, bob);
  await alice.reloads();
  await Promise.all([alice.sees("bob"), bob.sees("alice"), alice.hears(), bob.hears()]);
});

test("neither page has thrown, or broken its content security policy", { skip }, () => {
  assert.deepEqual([alice, bob].flatMap((person) => person.errors), []);
});
