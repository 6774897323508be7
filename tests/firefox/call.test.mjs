// Calls between Firefox and Chromium over a real network: HTTPS with the built-in authority, media at an address of an interface.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launch } from "../browser/chromium.mjs";
import { connect, everybodyHome, open } from "../browser/people.mjs";
import { Network, noNetwork } from "../network.mjs";
import { Server } from "../server.mjs";
import { CONTEXT, launchFirefox, noFirefox } from "./firefox.mjs";

const skip = noFirefox || noNetwork;
let network, serverHost, server, firefox, chromium, alice, bob;

before(async () => {
  if (skip) return;
  network = new Network();
  serverHost = network.host();
  server = await Server.start([], serverHost);
  [firefox, chromium] = await Promise.all([launchFirefox(network.host()), launch({ host: network.host() })]);
  [alice, bob] = await Promise.all([open(firefox, server, "alice", CONTEXT), open(chromium, server, "bob", CONTEXT)]);
  await Promise.all([alice.findsEverybody(), bob.findsEverybody()]);
});

afterEach(() => skip || everybodyHome(alice, bob));

after(async () => {
  await Promise.all([firefox?.close(), chromium?.close()]);
  await server?.stop();
  network?.remove();
});

test("Firefox calls Chromium: both see and hear each other", { skip }, async () => {
  await connect(alice, bob);
  await Promise.all([alice.hears(), bob.hears()]);
});

test("Chromium calls Firefox: both see and hear each other", { skip }, async () => {
  await connect(bob, alice);
  await Promise.all([alice.hears(), bob.hears()]);
});
