// A login that lasts: over the end of the browser, for several people in it, until it is signed out, removed or expired.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
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

const authorization = ({ client_id, password }) => `Basic ${Buffer.from(`${client_id}:${password}`).toString("base64")}`;

/** What the server says of a device when it is asked to renew it. */
async function said(device) {
  const headers = { authorization: authorization(device) };
  const answer = await fetch(`${server.url}/api/v1/login/renew`, { method: "POST", headers });
  return answer.ok ? "renewed" : (await answer.json()).code;
}

async function ends(device) {
  const headers = { authorization: authorization(device) };
  assert.equal((await fetch(`${server.url}/api/v1/login`, { method: "DELETE", headers })).status, 204);
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

test("signing out in one tab ends all tabs of that person, and the server forgets the four devices", async () => {
  const context = await profile();
  const bob = await signsIn(context, "bob");
  const other = await opensPlain(context, "bob");
  await other.isOnline();
  const carol = await signsIn(context, "carol");
  const mine = (await devices(bob)).filter(({ user }) => user === "bob");
  assert.equal(mine.length, 4);
  await bob.presses("me");
  await bob.reads("Your other tabs here are signed out, too.");
  await bob.presses("confirm-no");
  await bob.find("confirm").waitFor({ state: "detached" });
  await bob.presses("me");
  await bob.presses("confirm-yes");
  await Promise.all([bob, other].map((tab) => tab.find("signed-out").waitFor()));
  await inspect(other.page, "signed out");
  await bob.until(async () => (await bob.page.evaluate(stored, "endings")).length === 0, "the server was told");
  assert.deepEqual(await Promise.all(mine.map(said)), Array(4).fill("login_ended"));
  await carol.isOnline();
  assert.deepEqual((await logins(carol)).map(({ user }) => user), ["carol"]);
  const kept = await bob.page.evaluate(everythingKept);
  assert.ok(mine.every(({ client_id }) => !kept.includes(client_id)), "no rings of these devices are left");
  await other.reloads();
  await other.isOnline();
  assert.match(await other.find("me").textContent(), /Carol/, "the only one who is left here");
});

test("signing out while the server is away is told to it when the page is opened again", async () => {
  const context = await profile();
  const bob = await signsIn(context, "bob");
  const mine = await devices(bob);
  await context.route("**/api/v1/login", (route) => route.abort());
  await bob.presses("me");
  await bob.presses("confirm-yes");
  await bob.find("not-told").waitFor();
  assert.equal(await said(mine[0]), "renewed");
  await context.unroute("**/api/v1/login");
  await bob.reloads();
  await bob.find("no-link").waitFor();
  await bob.until(async () => (await Promise.all(mine.map(said))).every((code) => code === "login_ended"), "the devices are ended");
});

test("a device that is removed is told so while it rings, and does not try for ever", async () => {
  const context = await profile();
  await signsIn(context, "bob");
  const bob = await opensPlain(context, "bob");
  await bob.isOnline();
  await alice.calls("bob");
  await bob.isRung();
  await Promise.all((await devices(bob)).map(ends));
  await bob.reads("You were signed out.");
  await bob.isNotRung();
  await alice.hangsUp();
  await inspect(bob.page, "a login that was ended");
  await bob.reloads();
  await bob.reads("You were signed out.");
  const again = await signsIn(context, "bob");
  await again.findsEverybody();
});

test("a login that has expired says so, and a link signs in again with the same devices", async () => {
  const context = await profile();
  const bob = await signsIn(context, "bob");
  const mine = await devices(bob);
  await bob.closes();
  await server.program.end();
  expire(mine.map(({ client_id }) => client_id));
  await server.run();
  const late = await opensPlain(context, "bob");
  await late.reads("Your login has expired.");
  await alice.isOnline();
  const again = await signsIn(context, "bob");
  assert.deepEqual((await devices(again)).map(({ client_id }) => client_id).sort(), mine.map(({ client_id }) => client_id).sort());
});

/** In the catalog of a server that does not run: the credentials of these devices ended a minute ago. */
function expire(client_ids) {
  const script = `import json, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1])
for client_id in json.loads(sys.argv[2]):
    assert db.execute("UPDATE devices SET expires_at_ms = ? WHERE client_id = ?", (int(time.time() * 1000) - 60000, client_id)).rowcount == 1
db.commit()`;
  const catalog = join(server.folder, "data", "catalog.sqlite");
  const { status, stderr } = spawnSync("python3", ["-c", script, catalog, JSON.stringify(client_ids)]);
  assert.equal(status, 0, String(stderr));
}

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
