// A login that lasts: over the end of the browser, and for several people in it.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch, launchProfile } from "./chromium.mjs";
import { inspect } from "./inspect.mjs";
import { open, Person } from "./people.mjs";

let server, browser, alice;
const contexts = [];

before(async () => {
  server = await Server.start();
  browser = await launch();
  alice = await open(browser, server, "alice");
  await alice.findsEverybody();
});

afterEach(() => Promise.all(contexts.splice(0).map((context) => context.close())));

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A browser's profile of its own. */
async function profile() {
  const context = await browser.newContext();
  contexts.push(context);
  return context;
}

/** Opens a link of `user`, and waits until this browser needs it no more. */
async function signsIn(context, user) {
  const person = await open(context, server, user);
  await person.isOnline();
  await keepsAll(person);
  return person;
}

/** Opens the plain address in a tab of its own. */
function opensPlain(context, user) {
  return new Person(context, server, user).opensWithoutLink();
}

/** In the page: all that a store of its logins holds. */
function stored(name) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("convoke-logins");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const reading = opening.result.transaction(name).objectStore(name).getAll();
      reading.onsuccess = () => resolve(reading.result);
      opening.result.close();
    };
  });
}

const logins = ({ page }) => page.evaluate(stored, "logins");
const devices = async (person) => (await logins(person)).flatMap(({ slots }) => Object.values(slots));

function keepsAll(person) {
  return person.until(async () => (await logins(person)).every(({ secret }) => secret === undefined), "the secret is dropped");
}

/** In the page: every text that this origin keeps, wherever. */
async function everythingKept() {
  const databases = await indexedDB.databases();
  const contents = databases.map(
    ({ name }) =>
      new Promise((resolve) => {
        indexedDB.open(name).onsuccess = async ({ target: { result: db } }) => {
          const stores = [...db.objectStoreNames].map(
            (store) =>
              new Promise((done) => {
                db.transaction(store).objectStore(store).getAll().onsuccess = ({ target }) => done(target.result);
              }),
          );
          resolve([name, await Promise.all(stores)]);
          db.close();
        };
      }),
  );
  return JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie, location.href, history.state, await Promise.all(contents)]);
}

test("who closes the browser and opens the plain address later is signed in, and is rung", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "convoke-profile-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const first = await launchProfile(folder);
  await signsIn(first, "bob");
  await first.close();
  const again = await launchProfile(folder);
  t.after(() => again.close());
  const bob = await opensPlain(again, "bob");
  await bob.isOnline();
  assert.match(await bob.find("me").textContent(), /Bob/);
  await alice.calls("bob");
  await bob.isRung();
  await bob.presses("decline");
  await alice.presses("close-ended");
});

test("the secret is nowhere once the browser needs it no more", async () => {
  const bob = await signsIn(await profile(), "bob");
  const secret = new URLSearchParams(new URL(bob.url).hash.slice(1)).get("login");
  assert.ok(secret.length > 20);
  const kept = await bob.page.evaluate(everythingKept);
  assert.match(kept, /GID_dev@@@web-/, "what is kept was read");
  assert.ok(!kept.includes(secret));
  await bob.reloads();
  await bob.isOnline();
  assert.ok(!(await bob.page.evaluate(everythingKept)).includes(secret));
});

test("two people in one browser: a new tab asks who it is, and stays so over a reload; both are rung", async () => {
  const context = await profile();
  await signsIn(context, "bob");
  await signsIn(context, "carol");
  const tab = await opensPlain(context, "bob");
  await tab.find("choose").waitFor();
  const controls = await inspect(tab.page, "who are you");
  assert.ok(controls.some((label) => label.includes("Bob")) && controls.some((label) => label.includes("Carol")), `${controls}`);
  await tab.presses("as-bob");
  await tab.isOnline();
  await tab.reloads();
  await tab.isOnline();
  assert.match(await tab.find("me").textContent(), /Bob/);
  await alice.calls("bob");
  await tab.isRung();
  await tab.presses("decline");
  await alice.presses("close-ended");
});

test("four plain tabs are four devices, and a fifth takes the first over", async () => {
  const context = await profile();
  const tabs = [await signsIn(context, "bob")];
  while (tabs.length < 5) {
    const tab = await opensPlain(context, "bob");
    await tab.isOnline();
    tabs.push(tab);
  }
  await tabs[0].reads("Convoke is open elsewhere");
  assert.equal((await devices(tabs[4])).length, 4);
});

test("a new link of a person who is known here goes on with the same devices", async () => {
  const context = await profile();
  const bob = await signsIn(context, "bob");
  const [before] = await logins(bob);
  await bob.closes();
  const again = await signsIn(context, "bob");
  const after = await logins(again);
  assert.deepEqual(after.map(({ account }) => account), [before.account]);
});

test("a link that is opened while the server's login is away is kept over a reload, and signs in when it is back", async () => {
  const context = await profile();
  await signsIn(context, "carol");
  await context.route("**/api/v1/login", (route) => route.abort());
  const bob = await open(context, server, "bob");
  await bob.reads("The server cannot be reached.");
  await bob.reloads();
  await bob.reads("The server cannot be reached.");
  assert.equal(new URL(bob.page.url()).hash, "");
  await context.unroute("**/api/v1/login");
  await bob.isOnline();
  assert.match(await bob.find("me").textContent(), /Bob/);
  await keepsAll(bob);
});

test("a browser that keeps nothing signs in for the life of the page", async () => {
  const context = await profile();
  await context.addInitScript(() => {
    for (const name of ["indexedDB", "localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, { get: () => { throw new DOMException("denied", "SecurityError"); } });
    }
  });
  const bob = await open(context, server, "bob");
  await bob.isOnline();
  await alice.calls("bob");
  await bob.isRung();
  await bob.presses("decline");
  await alice.presses("close-ended");
  await bob.reloads();
  await bob.find("no-link").waitFor();
});
