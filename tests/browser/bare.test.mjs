// The browser as people have it: no media over loopback addresses of its own, no sound before a touch; and one without
// camera and microphone.

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, open } from "./people.mjs";

/** Without loopback candidates a browser needs an address of some network, even to reach this machine. */
const hasNetwork = Object.values(networkInterfaces()).flat().some(({ internal, family }) => !internal && family === "IPv4");
const skip = hasNetwork ? false : "this machine has no network address but loopback";

let server, browser, empty;

before(async () => {
  server = await Server.start();
  [browser, empty] = await Promise.all([launch({ bare: true }), launch({ bare: true, devices: false })]);
});

after(async () => {
  await Promise.all([browser, empty].map((each) => each?.close()));
  await server?.stop();
});

async function end(host, guest) {
  await host.endsForAll();
  await Promise.all([host, guest].map((person) => person.isBackHome()));
  await Promise.all([host, guest].map((person) => person.context.close()));
}

/** Waits without what the other waits imply: each look of theirs counts as a touch of the page. */
async function appearsUntouched(person, id) {
  const session = await person.context.newCDPSession(person.page);
  const expression = `document.querySelector("[data-testid=${id}]") !== null`;
  await person.until(async () => (await session.send("Runtime.evaluate", { expression })).result.value, `${id} appears`);
}

test("two ordinary browsers see and hear each other, and sound needs no further touch", { skip }, async () => {
  const alice = await open(browser, server, "alice");
  const bob = await open(browser, server, "bob");
  await connect(alice, bob);
  await Promise.all([alice.hears(), bob.hears()]);
  for (const person of [alice, bob]) {
    await person.plays();
    assert.equal(await person.find("banner-sound").count(), 0);
  }
  await end(alice, bob);
});

test("who has no camera and no microphone is told so, and sees and hears the others all the same", { skip }, async () => {
  const alice = await open(browser, server, "alice");
  const bob = await open(empty, server, "bob");
  await alice.calls("bob");
  await bob.isRung();
  await bob.answers();
  await bob.reads("No microphone: you can listen.");
  await bob.reads("No camera: others see your name.");
  await Promise.all([bob.sees("alice"), bob.hears()]);
  await alice.tile("bob").getByTestId("mark-muted").waitFor();
  await alice.doesNotSee("bob");
  await end(alice, bob);
});

test("a page that was never touched says that the browser holds its sound back, and one touch brings it", { skip }, async () => {
  const alice = await open(browser, server, "alice");
  const bob = await open(empty, server, "bob");
  await alice.calls("bob");
  await bob.isRung();
  await bob.answers();
  await bob.sees("alice");
  await bob.closes();
  await bob.comesBack();
  await appearsUntouched(bob, "banner-sound");
  await bob.presses("unblock-sound");
  await bob.find("banner-sound").waitFor({ state: "detached" });
  await bob.plays();
  await end(alice, bob);
});
