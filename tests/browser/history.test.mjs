// Calls that are over: made, received and missed, by day, in pages, and calling back.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { connect, everybodyHome, open } from "./people.mjs";

/** As many as one page of the history holds. */
const PAGE = 20;
let server, browser, alice, bob, carol;

before(async () => {
  server = await Server.start();
  browser = await launch();
  [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((user) => open(browser, server, user)));
  await Promise.all([alice, bob, carol].map((person) => person.findsEverybody()));
});

afterEach(async () => {
  await Promise.all([alice, bob, carol].map(atPeople));
  await everybodyHome(alice, bob, carol);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** All of them, the first of the list first; who calls again at once may be busy for a moment, which is a call, too. */
async function lists(person, wanted) {
  const found = async () => {
    const shown = await rows(person);
    const at = wanted.map((words) => shown.findIndex((row) => words.test(row)));
    return at.every((place, i) => place >= 0 && (i === 0 || place > at[i - 1]));
  };
  await person.until(found, `the calls of ${person.user} are listed in their order`);
}

const rows = (person) => person.find("past-words").allTextContents();

/** There is nothing to choose from before the first call. */
async function atPeople(person) {
  if (await person.find("view-people").isVisible()) await person.presses("view-people");
}

test("where nobody has called yet there are people and nothing else", async () => {
  assert.equal(await alice.find("view-recent").count(), 0);
});

test("a call that was declined, one that was answered and one that was missed are told to both", async (t) => {
  await alice.calls("bob");
  await bob.isRung();
  await bob.presses("decline");
  await alice.presses("close-ended");
  await connect(alice, bob);
  await bob.hangsUp();
  await alice.isBackHome();
  await alice.calls("bob");
  await bob.isRung();
  await alice.hangsUp();
  await bob.find("missed-alice").waitFor();
  const other = await bob.opensAnotherTab();
  t.after(() => other.closes());
  await other.find("missed-alice").waitFor();
  await Promise.all([alice, bob].map((person) => person.presses("view-recent")));
  await lists(alice, [/You called · you gave up/, /You called · \d+\ssec/, /You called · declined/]);
  await lists(bob, [/Missed/, /Called you · \d+\ssec/, /You declined/]);
  await bob.reads("Today");
  // Who has read of it here has seen it, everywhere.
  await Promise.all([bob, other].map((tab) => tab.find("missed-alice").waitFor({ state: "detached" })));
});

test("a call is returned from the list", async () => {
  await bob.presses("view-recent");
  await bob.find("past-alice").first().getByTestId("call").click();
  await alice.isRung();
  await alice.answers();
  await bob.sees("alice");
  await bob.hangsUp();
  await bob.until(async () => /You called · \d+\ssec/.test((await rows(bob))[0] ?? ""), "the call is listed as it ends");
});

test("older calls come page by page", async () => {
  const callers = [alice, carol];
  for (let calls = 0; calls <= PAGE; calls += callers.length) {
    await Promise.all(callers.map((caller) => caller.calls("bob")));
    await Promise.all(callers.map((caller) => caller.reads("Ringing…")));
    await Promise.all(callers.map((caller) => caller.hangsUp()));
    await Promise.all([bob, ...callers].map((person) => person.isNotRung()));
  }
  await bob.reloads();
  await bob.findsEverybody();
  await bob.presses("view-recent");
  await bob.until(async () => (await rows(bob)).length >= PAGE, "a page is listed");
  const before = (await rows(bob)).length;
  await bob.presses("older");
  await bob.until(async () => (await rows(bob)).length > before, "older calls are listed");
  await bob.find("older").waitFor({ state: "detached" });
  assert.match((await rows(bob)).at(-1), /You declined/);
});

test("no page has thrown, or broken its content security policy", () => {
  assert.deepEqual([alice, bob, carol].flatMap((person) => person.errors), []);
});
