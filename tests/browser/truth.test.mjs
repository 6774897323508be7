// What a page shows is so: a picture that has stopped, a button that does nothing, how long a call has lasted, who can be
// reached, and what goes on without the service.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, everybodyHome, open } from "./people.mjs";

let server, browser, alice, bob;

before(async () => {
  server = await Server.start();
  browser = await launch();
  [alice, bob] = await Promise.all(["alice", "bob"].map((user) => open(browser, server, user)));
  await Promise.all([alice, bob].map((person) => person.findsEverybody()));
});

afterEach(() => everybodyHome(alice, bob));

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The sender's pictures stop, and nobody has said so: its camera hangs. */
function hang(person, hangs) {
  return person.page.evaluate(async (stopped) => {
    const senders = window.observed.connections.at(-1).getSenders();
    window.hung ??= senders.find(({ track }) => track?.kind === "video");
    const parameters = window.hung.getParameters();
    for (const encoding of parameters.encodings) encoding.active = !stopped;
    await window.hung.setParameters(parameters);
  }, hangs);
}

test("a picture that has stopped says so within a second or two, and no more with its next frame", async (t) => {
  await connect(alice, bob);
  await hang(bob, true);
  const began = performance.now();
  await alice.tile("bob").getByText("Picture stopped…").waitFor();
  t.diagnostic(`said ${Math.round(performance.now() - began)} ms after the last picture was sent`);
  await alice.hears();
  await hang(bob, false);
  await alice.tile("bob").getByText("Picture stopped…").waitFor({ state: "detached" });
  await alice.sees("bob");
});

test("a picture that is switched off has not stopped", async () => {
  await connect(alice, bob);
  await alice.writesDown("tile-bob");
  await bob.presses("camera");
  await alice.doesNotSee("bob");
  await bob.presses("camera");
  await alice.sees("bob");
  assert.deepEqual((await alice.wroteDown()).filter((words) => words.includes("stopped")), []);
});

test("the button of a blocked speaker says why it does nothing, and is itself again afterwards", async () => {
  await connect(alice, bob);
  await alice.asHost("block", "bob");
  await bob.find("banner-blocked").waitFor();
  const button = bob.find("mic");
  assert.equal(await button.getAttribute("aria-disabled"), "true");
  assert.match(await button.getAttribute("title"), /host has blocked your speech/);
  await button.click({ force: true });
  await bob.page.keyboard.press("m");
  await alice.asHost("unblock", "bob");
  await bob.find("banner-blocked").waitFor({ state: "detached" });
  assert.equal(await button.getAttribute("aria-disabled"), null);
  assert.equal(await bob.find("self").getByTestId("mark-muted").count(), 0, "a dead button has muted nobody");
  await alice.hears();
});

const seconds = async (person) => {
  const [minutes, rest] = (await person.page.getByRole("timer").textContent()).split(":");
  return 60 * Number(minutes) + Number(rest);
};

test("the clock of a call goes on over a reload", async () => {
  await connect(alice, bob);
  await bob.until(async () => (await seconds(bob)) >= 4, "some seconds pass");
  await bob.reloads();
  await bob.sees("alice");
  assert.ok((await seconds(bob)) >= 4, "the clock has begun again");
});

test("everybody mutes: the path stands, and nothing is joined anew", async () => {
  await connect(alice, bob);
  for (const person of [alice, bob]) {
    await person.presses("mic");
    await person.presses("camera");
  }
  await alice.stops("inbound-rtp", "audio", "packetsReceived");
  const before = await Promise.all([alice, bob].map((person) => person.connections()));
  // Several times as long as a page waits before it takes a path for dead.
  await alice.until(async () => (await seconds(alice)) >= 12, "nothing is said for a while");
  assert.deepEqual(await Promise.all([alice, bob].map((person) => person.connections())), before);
  assert.equal(await alice.find("banner-down").count(), 0);
});

test("nobody is ready for calls, and no call is said to go on, while the server is away", async (t) => {
  await bob.presses("ready");
  await bob.reads("Ready for calls");
  await server.kill();
  const began = performance.now();
  await bob.reads("Nobody can reach you now");
  t.diagnostic(`said ${Math.round(performance.now() - began)} ms after the server's end`);
  await server.run();
  await bob.isOnline();
  await bob.page.getByRole("heading", { name: "Ready for calls", exact: true }).waitFor();
});

test("no page has thrown, or broken its content security policy", () => {
  assert.deepEqual([alice, bob].flatMap((person) => person.errors), []);
});
