// Notifications of the system: for a person who has the page open and looks at something else.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { everybodyHome, open } from "./people.mjs";
import { read } from "./words.mjs";

let server, browser, alice, carol, bob, tab;

before(async () => {
  server = await Server.start();
  browser = await launch();
  await server.api("PUT", "/api/v1/users/dora", { name: "Dora" });
  [alice, carol] = await Promise.all(["alice", "carol"].map((user) => open(browser, server, user)));
  bob = await open(browser, server, "bob", { permissions: ["notifications"], init: watchNotifications });
  tab = await bob.opensAnotherTab();
  await Promise.all([alice, carol, bob, tab].map((person) => person.findsEverybody()));
});

afterEach(async () => {
  await Promise.all([bob, tab].map((each) => looksAt(each, true)));
  await everybodyHome(alice, carol, bob, tab);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** In the page: remembers its notifications, and lets a test say whether the page is being looked at. */
function watchNotifications() {
  window.notifications = [];
  window.asked = 0;
  window.Notification = class extends Notification {
    constructor(title, options) {
      super(title, options);
      this.isOpen = true;
      window.notifications.push(this);
    }

    close() {
      this.isOpen = false;
      super.close();
    }

    static async requestPermission() {
      window.asked += 1;
      return "denied";
    }
  };
  window.isLookedAt = true;
  Object.defineProperty(Document.prototype, "visibilityState", { get: () => (window.isLookedAt ? "visible" : "hidden") });
  Document.prototype.hasFocus = () => window.isLookedAt;
}

function looksAt(person, isLookedAt) {
  return person.page.evaluate(async (looks) => {
    window.isLookedAt = looks;
    document.dispatchEvent(new Event("visibilitychange"));
    // Until the browser knows who holds which lock.
    await navigator.locks.query();
  }, isLookedAt);
}

function looksAway() {
  return Promise.all([bob, tab].map((each) => looksAt(each, false)));
}

/** What stands at present, in both tabs. */
async function shown() {
  const list = ({ page }) =>
    page.evaluate(() => window.notifications.filter(({ isOpen }) => isOpen).map(({ title, body }) => `${title}: ${body}`));
  return (await Promise.all([bob, tab].map(list))).flat().map(read).sort();
}

const shows = (...words) => bob.until(async () => String(await shown()) === String(words), `the notifications are ${words}`);

test("a ring and a second caller are each told once over all tabs, until they end, and a missed call until it is seen", async () => {
  await looksAway();
  await alice.calls("bob");
  await shows("Alice is calling: Video call");
  await carol.calls("bob", { video: false });
  await shows("Alice is calling: Video call", "Carol is calling: Audio call");
  await Promise.all([bob, tab].map((each) => each.find("ring-carol").waitFor()));
  assert.equal((await shown()).length, 2);
  await bob.presses("decline-other");
  await shows("Alice is calling: Video call");
  await alice.hangsUp();
  await bob.until(async () => /^Missed call from Alice: Video call · /.test(String(await shown())), "the missed call is told");
  await bob.presses("dismiss-missed");
  await shows();
});

test("who presses the notification of a missed call comes to the page, at calling back", async () => {
  await looksAway();
  await alice.calls("bob");
  await bob.isRung();
  await alice.hangsUp();
  await bob.until(async () => String(await shown()).startsWith("Missed"), "the missed call is told");
  const press = ({ page }) =>
    page.evaluate(() => window.notifications.find(({ isOpen }) => isOpen)?.dispatchEvent(new Event("click")) ?? false);
  const [atBob] = await Promise.all([bob, tab].map(press));
  const pressed = atBob ? bob : tab;
  const focused = () => pressed.page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
  await pressed.until(async () => read((await focused()) ?? "") === "Call back Alice", "calling back has the focus");
  await shows();
});

test("a tab that is being looked at needs none", async () => {
  await looksAway();
  await looksAt(tab, true);
  const before = await bob.page.evaluate(() => window.notifications.length);
  await alice.calls("bob");
  await Promise.all([bob, tab].map((each) => each.isRung()));
  await alice.hangsUp();
  await Promise.all([bob, tab].map((each) => each.find("missed-alice").waitFor()));
  assert.deepEqual(await shown(), []);
  assert.equal(await bob.page.evaluate(() => window.notifications.length), before);
});

test("the browser is asked when somebody is ready for calls, and never otherwise", async (t) => {
  const dora = await open(browser, server, "dora", { init: watchNotifications });
  t.after(() => dora.context.close());
  await dora.page.evaluate(() => Object.defineProperty(Notification, "permission", { get: () => "default" }));
  await dora.findsEverybody();
  const asked = () => dora.page.evaluate(() => window.asked);
  await alice.calls("dora");
  await dora.isRung();
  await dora.answers();
  await dora.sees("alice");
  await dora.hangsUp();
  assert.equal(await asked(), 0);
  await dora.presses("ready");
  assert.equal(await asked(), 1);
});

test("no page has thrown, or broken its content security policy", () => {
  assert.deepEqual([alice, carol, bob, tab].flatMap((person) => person.errors), []);
});
