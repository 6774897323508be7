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

test("over plain HTTP the page says what is wrong at once, and its link leads on to signing in", { skip }, async () => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  const { hash } = new URL(await server.link("alice"));
  await page.goto(`${server.plainUrl}/${hash}`);
  await page.getByText("This page needs a secure connection").waitFor();
  await page.getByTestId("go-secure").click();
  await page.getByTestId("state").getByText("Online").waitFor();
  assert.equal(page.url(), `${server.url}/`);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a page at an address that the server does not know of signs in there, and calls", { skip }, async () => {
  const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(browser, server, user, { ignoreHTTPSErrors: true })));
  await alice.findsEverybody();
  await connect(alice, bob);
  await Promise.all([alice.context.close(), bob.context.close()]);
});
