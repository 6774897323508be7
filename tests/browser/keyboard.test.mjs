// A whole call by the keyboard alone, with the focus always to be seen.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { everybodyHome, open } from "./people.mjs";

/** More presses of Tab than any screen has controls. */
const PRESSES_MAX = 60;
let server, browser, alice, bob;

before(async () => {
  server = await Server.start();
  browser = await launch();
  [alice, bob] = [await open(browser, server, "alice"), await open(browser, server, "bob")];
  await Promise.all([alice.findsThatIs("Online", "bob"), bob.findsThatIs("Online", "alice")]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** In the page: where the focus is, whose row that is in, and whether it is to be seen. */
function focus() {
  const element = document.activeElement;
  const { outlineStyle, boxShadow } = getComputedStyle(element);
  const row = element.closest("li, article")?.dataset.testid;
  return { id: element.dataset.testid ?? element.id, row, isSeen: outlineStyle !== "none" || boxShadow !== "none" };
}

const press = ({ page }, key) => page.keyboard.press(key);

/** Presses Tab until the focus is on a control, of a row if it is named. */
async function tabTo(person, id, row) {
  for (let presses = 0; presses < PRESSES_MAX; presses += 1) {
    await press(person, "Tab");
    const at = await person.page.evaluate(focus);
    if (at.id !== id || (row && at.row !== row)) continue;
    assert.ok(at.isSeen, `the focus is not to be seen on ${id}`);
    return;
  }
  assert.fail(`the Tab key does not reach ${id} ${row ?? ""}`);
}

async function takes(person, id, row) {
  await tabTo(person, id, row);
  await press(person, "Enter");
}

const focusIs = (person, id) =>
  person.until(async () => (await person.page.evaluate(focus)).id === id, `the focus is on ${id}`);

test("get ready, call, answer, mute and hang up", async () => {
  await takes(alice, "ready");
  await alice.find("test-ring").waitFor();
  await takes(alice, "call", "contact-bob");
  await bob.isRung();
  await focusIs(bob, "accept");
  await press(bob, "Enter");
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
  await press(alice, "m");
  await bob.tile("alice").getByTestId("mark-muted").waitFor();
  await takes(alice, "mic");
  await bob.tile("alice").getByTestId("mark-muted").waitFor({ state: "detached" });
  await takes(bob, "leave");
  await everybodyHome(alice, bob);
});

test("after a call the focus goes on at the list of people", async () => {
  await focusIs(alice, "people-title");
});

test("when a ring is over the focus goes back to where it was", async () => {
  await tabTo(alice, "me");
  await takes(bob, "call", "contact-alice");
  await alice.isRung();
  await takes(bob, "leave");
  await alice.isNotRung();
  await focusIs(alice, "me");
  await takes(alice, "dismiss-missed");
  await everybodyHome(alice, bob);
});

test("decline, and close what is left of the call", async () => {
  await takes(bob, "call-audio", "contact-alice");
  await alice.isRung();
  await takes(alice, "decline");
  await focusIs(bob, "");
  await bob.reads("Alice declined");
  await takes(bob, "close-ended");
  await everybodyHome(alice, bob);
});

test("a ring is silenced by Escape, and rings on to be seen", async () => {
  await takes(bob, "call", "contact-alice");
  await alice.isRung();
  await press(alice, "Escape");
  await alice.reads("The ring is silent");
  await takes(alice, "decline");
  await takes(bob, "close-ended");
  await everybodyHome(alice, bob);
});

test("invite, take the invitation back, and end for all after being asked", async () => {
  await takes(alice, "call", "contact-bob");
  await bob.isRung();
  await press(bob, "Enter");
  await alice.sees("bob");
  await press(alice, "i");
  await takes(alice, "ring", "invite-carol");
  await focusIs(alice, "cancel-ring");
  await press(alice, "Enter");
  await focusIs(alice, "ring");
  await press(alice, "Escape");
  await focusIs(alice, "invite");
  await press(alice, "p");
  await takes(alice, "kick", "member-bob");
  await focusIs(alice, "confirm-no");
  await press(alice, "m");
  await press(alice, "Escape");
  await focusIs(alice, "kick");
  assert.equal(await alice.find("mark-muted").count(), 0, "the keys of the call are off while it asks");
  await takes(alice, "end-all");
  await focusIs(alice, "confirm-no");
  await press(alice, "Enter");
  await focusIs(alice, "end-all");
  await press(alice, "Enter");
  await focusIs(alice, "confirm-no");
  await takes(alice, "confirm-yes");
  await bob.reads("The host ended the call");
  await everybodyHome(alice, bob);
});

/** In the page: says no, and asks again before the browser has told that the dialog is closed. */
async function asksAgainAtOnce() {
  const find = (id) => document.querySelector(`[data-testid=${id}]`);
  find("confirm-no").click();
  for (let turns = 0; find("confirm") && turns < 1_000; turns += 1) await Promise.resolve();
  find("end-all").click();
  // What the browser still has to tell of the first dialog comes before this.
  await new Promise((done) => setTimeout(done, 100));
  return find("confirm") !== null;
}

/** In the page: opens the panel, and says where the focus is before the next frame is drawn. */
async function opensThePanel() {
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "i", bubbles: true }));
  for (let turns = 0; !document.querySelector("[data-testid=panel]") && turns < 1_000; turns += 1) await Promise.resolve();
  return document.activeElement.id;
}

test("a panel has the focus as it opens, and takes it from nobody a moment later", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await bob.answers();
  await alice.sees("bob");
  assert.equal(await alice.page.evaluate(opensThePanel), "panel-title");
  await alice.hangsUp();
  await everybodyHome(alice, bob);
});

test("a question that was answered with no can be asked again at once", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await bob.answers();
  await alice.sees("bob");
  await press(alice, "p");
  await alice.presses("end-all");
  await focusIs(alice, "confirm-no");
  assert.ok(await alice.page.evaluate(asksAgainAtOnce), "the second question is gone");
  await alice.presses("confirm-yes");
  await bob.reads("The host ended the call");
  await everybodyHome(alice, bob);
});

test("no page has thrown, or broken its content security policy", () => {
  assert.deepEqual([...alice.errors, ...bob.errors], []);
});
