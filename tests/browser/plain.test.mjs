// Pages at another address than localhost: over plain HTTP one says where to go, over TLS one works whatever the server
// believes to be called.

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, open } from "./people.mjs";

const [address] = Object.values(networkInterfaces()).flat().filter(({ internal, family }) => !internal && family === "IPv4");
const skip = address ? false : "this machine has no address but loopback";
/** A name that nobody can look up. */
const NAMES = ['tls.names=["calls.invalid"]'];
let server, browser;

before(async () => {
  if (skip) return;
  server = await Server.start(NAMES, { address: address.address, starter: (program) => program });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a page at an address that the server does not know of signs in there, and calls", { skip }, async () => {
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(browser, server, user, { ignoreHTTPSErrors: true })));
  await alice.findsEverybody();
  await connect(alice, bob);
  await Promise.all([alice.context.close(), bob.context.close()]);
});
