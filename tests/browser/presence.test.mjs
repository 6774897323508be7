// Who is there, as the list of people shows it by itself.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, everybodyHome, open } from "./people.mjs";

let server, browser, alice, bob, carol;

before(async () => {
  server = await Server.start();
  browser = await launch();
  alice = await open(browser, server, "alice");
  bob = await open(browser, server, "bob");
  carol = await open(browser, server, "carol");
  await Promise.all([alice, bob, carol].map((person) => person.findsEverybody()));
});

afterEach(() => everybodyHome(alice, bob, carol));

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("who goes offline is shown so, and who comes back too, without a question", async (t) => {
  await alice.findsThatIs("Online", "bob");
  let began = performance.now();
  await bob.closes();
  await alice.findsThatIs("Offline", "bob");
  t.diagnostic(`offline is shown ${Math.round(performance.now() - began)} ms after the tab was closed`);
  began = performance.now();
  await bob.comesBack();
  await alice.findsThatIs("Online", "bob");
  t.diagnostic(`online is shown ${Math.round(performance.now() - began)} ms after the page was opened`);
  await bob.findsEverybody();
});

test("a reload is no absence", async () => {
  await alice.findsThatIs("Online", "bob");
  await alice.page.evaluate(() => {
    window.presences = new Set();
    const look = () => window.presences.add(document.querySelector("[data-testid=contact-bob] [data-testid=presence]")?.textContent);
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  await bob.reloads();
  await bob.findsEverybody();
  await bob.calls("carol");
  await alice.findsThatIs("In a call", "bob");
  assert.deepEqual([...(await alice.page.evaluate(() => [...window.presences]))].filter((words) => /Offline/.test(words)), []);
});

test("a call is shown to those who watch, and its end", async () => {
  await connect(alice, bob);
  await carol.findsThatIs("In a call", "alice");
  await alice.hangsUp();
  await carol.findsThatIs("Online", "alice");
  await carol.findsThatIs("Online", "bob");
});

test("nobody is said to be this or that while the service is away", async () => {
  await alice.findsThatIs("Online", "bob");
  await server.kill();
  await alice.findsThatIs("Unknown for now", "bob");
  await server.run();
  await alice.findsThatIs("Online", "bob");
});
