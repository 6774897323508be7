// What happens around a call: a ring is silenced, a microphone is unplugged, an invitation is declined, both sides act at
// once; and where the keyboard is afterwards.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, everybodyHome, open } from "./people.mjs";

let server, browser, alice, bob, carol;

before(async () => {
  server = await Server.start();
  browser = await launch();
  [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((user) => open(browser, server, user)));
  await Promise.all([alice, bob, carol].map((person) => person.findsEverybody()));
});

afterEach(() => everybodyHome(alice, bob, carol));

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a ring is silenced by its button or by Esc, says so, and can still be answered", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await bob.presses("silence");
  await bob.reads("The ring is silent");
  await bob.presses("decline");
  await alice.presses("call-again");
  await bob.isRung();
  assert.equal(await bob.find("silence").count(), 1, "the next ring is heard");
  await bob.page.keyboard.press("Escape");
  await bob.reads("The ring is silent");
  await bob.answers();
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
});

test("a microphone that was unplugged is told, and comes back when it is turned on again", async () => {
  await connect(alice, bob);
  await bob.hears();
  await alice.page.evaluate(() => {
    const senders = window.observed.connections.at(-1).getSenders();
    const { track } = senders.find((sender) => sender.track?.kind === "audio");
    track.stop();
    track.dispatchEvent(new Event("ended"));
  });
  await alice.reads("It stopped working.");
  await bob.tile("alice").getByTestId("mark-muted").waitFor();
  await alice.presses("mic");
  await bob.tile("alice").getByTestId("mark-muted").waitFor({ state: "detached" });
  await bob.hears();
});

test("who declines to come into a call is told to the one who rang", async () => {
  await connect(alice, bob);
  await alice.invites("carol");
  await carol.isRung();
  await carol.presses("decline");
  await alice.reads("Carol declined");
  await alice.find("invite-carol").getByTestId("ring").click();
  await carol.isRung();
  await carol.presses("decline");
});

test("an answer and a change of mind at the same moment leave nobody behind", async () => {
  for (let round = 0; round < 3; round += 1) {
    await alice.calls("bob");
    await bob.isRung();
    await Promise.all([bob.find("accept").evaluate((button) => button.click()), alice.hangsUp()]);
    await Promise.all([alice, bob].map((person) => person.isBackHome()));
    await everybodyHome(alice, bob);
  }
});

test("the keyboard goes on where it was: at the button of a panel, and at the list of people after a call", async () => {
  await connect(alice, bob);
  await alice.find("people").focus();
  await alice.page.keyboard.press("Enter");
  await alice.find("panel").waitFor();
  await alice.page.keyboard.press("Escape");
  await alice.find("panel").waitFor({ state: "detached" });
  await hasTheFocus(alice, "people");
  await alice.hangsUp();
  await alice.isBackHome();
  await hasTheFocus(alice, "people-title");
});

/** The page moves the focus after it has painted. */
function hasTheFocus(person, id) {
  const focused = () => document.activeElement?.dataset.testid ?? document.activeElement?.id;
  return person.until(async () => (await person.page.evaluate(focused)) === id, `the focus is at ${id}`);
}
