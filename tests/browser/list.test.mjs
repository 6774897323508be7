// A list of more people than fit on a screen: it is searched, it has an order, and it keeps still under a finger.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { open } from "./people.mjs";

const NAMES = ["Amara Okafor", "Bao Nguyen", "Chidi Eze", "Dmitri Halonen", "Esmé Roy", "Farid Rahimi", "Greta Lund", "Zoë Núñez"];
let server, browser, alice, zz;

before(async () => {
  server = await Server.start();
  browser = await launch();
  for (const [i, name] of NAMES.entries()) await server.api("PUT", `/api/v1/users/user-${i}`, { name });
  await server.api("PUT", "/api/v1/users/zz", { name: "Zz Top" });
  alice = await open(browser, server, "alice");
  await alice.findsEverybody();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

function users(person) {
  return person.find("contacts").evaluate((list) => [...list.children].map((row) => row.dataset.testid.replace("contact-", "")));
}

test("what is typed finds people by a part of the name without its accents, or by the user name", async () => {
  await alice.page.keyboard.press("/");
  await alice.page.keyboard.type("nunez");
  await alice.until(async () => (await users(alice)).join() === "user-7", "Zoë alone is listed");
  await alice.find("search").fill("user-3");
  await alice.until(async () => (await users(alice)).join() === "user-3", "Dmitri alone is listed");
  await alice.find("search").fill("nobody at all");
  await alice.reads("Nobody here is called like that.");
  await alice.find("search").fill("");
  await alice.until(async () => (await users(alice)).length > 10, "everybody is listed again");
});

test("who comes online comes to the top, but not while somebody points at the list", async () => {
  assert.equal((await users(alice)).at(-1), "zz");
  await alice.find("contact-zz").hover();
  const before = await users(alice);
  zz = await open(browser, server, "zz");
  await alice.findsThatIs("Online", "zz");
  assert.deepEqual(await users(alice), before);
  await alice.page.mouse.move(5, 5);
  await alice.until(async () => (await users(alice))[0] === "zz", "Zz comes first");
});

test("no page has thrown, or broken its content security policy", () => {
  assert.deepEqual([alice, zz].flatMap((person) => person.errors), []);
});
