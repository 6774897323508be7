// The way back into a call that goes on without the one who left it.

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

test("who has left a call that goes on is offered the way back, and takes it", async () => {
  await connect(alice, bob);
  await alice.invites("carol");
  await carol.isRung();
  await carol.answers();
  await Promise.all([carol.sees("alice"), bob.sees("carol")]);
  await bob.writesDown("live");
  await carol.hangsUp();
  await bob.tile("carol").waitFor({ state: "detached" });
  await bob.reads("Carol left.");
  assert.deepEqual((await bob.wroteDown()).filter((words) => /lost/.test(words)), []);
  await carol.presses("rejoin");
  await Promise.all([carol.sees("alice"), carol.sees("bob"), alice.sees("carol"), bob.sees("carol")]);
});

test("a call that is over by then is offered no more", async () => {
  await connect(alice, bob);
  await alice.invites("carol");
  await carol.isRung();
  await carol.answers();
  await Promise.all([carol.sees("alice"), bob.sees("carol")]);
  await carol.hangsUp();
  await carol.find("rejoin").waitFor();
  await alice.endsForAll();
  await bob.isBackHome();
  await carol.page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await carol.find("rejoin").waitFor({ state: "detached" });
});
