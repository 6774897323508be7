// Names in every direction, and names that would lie: what people read is who it is.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { open } from "./people.mjs";
import { read } from "./words.mjs";

const LAYLA = "ليلى حداد";
/** Each stands in a stored name for what nobody may store, and is as long: a signal keeps its length. */
const LIES = [["###", "\u202e"], ["~~~", "\u200b"]].map((pair) => pair.map((text) => Buffer.from(text)));

let server, browser, bob, layla, mallory;

before(async () => {
  server = await Server.start();
  browser = await launch();
  await server.api("PUT", "/api/v1/users/layla", { name: LAYLA });
  await server.api("PUT", "/api/v1/users/mallory", { name: "###ecilA" });
  await server.api("PUT", "/api/v1/users/nobody", { name: "~~~~~~" });
  bob = await open(browser, server, "bob", { route: lie });
  [layla, mallory] = await Promise.all(["layla", "mallory"].map((user) => open(browser, server, user)));
  await Promise.all([bob, layla, mallory].map((person) => person.findsEverybody()));
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Between a page and its server: puts into names what a server would store that knew no rule. */
async function lie(context) {
  await context.routeWebSocket(/./, (page) => {
    const from = page.connectToServer();
    from.onMessage((message) => page.send(LIES.reduce(replaced, Buffer.from(message))));
  });
}

function replaced(bytes, [text, by]) {
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) by.copy(bytes, at);
  return bytes;
}

/** Left and right end of a part of an element's text, as it is painted. */
function painted(person, id, part) {
  return person.page.evaluate(([selector, words]) => {
    const walker = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const at = node.data.indexOf(words);
      if (at < 0) continue;
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + words.length);
      const { left, right } = range.getBoundingClientRect();
      return { left, right };
    }
    throw new Error(`${words} is not in ${selector}`);
  }, [id, part]);
}

test("a right-to-left name stands before the words that follow it", async () => {
  await layla.calls("bob");
  await bob.isRung();
  const [name, words] = await Promise.all([LAYLA, "is calling"].map((part) => painted(bob, "#incoming-title", part)));
  assert.ok(name.right <= words.left, "the name is painted behind the words");
  assert.match(await bob.page.title(), /☎ \u2068ليلى حداد\u2069 is calling/);
  await bob.presses("decline");
  await layla.reads("Bob declined");
  await layla.presses("close-ended");
});

test("a name is one element in its own direction, wherever it stands alone", async () => {
  const alone = bob.page.locator("bdi", { hasText: LAYLA });
  await alone.first().waitFor();
  assert.equal(await alone.first().evaluate((element) => getComputedStyle(element).unicodeBidi), "isolate");
});

test("a stored name that turns round what follows is read without that", async () => {
  await mallory.calls("bob");
  await bob.isRung();
  assert.equal(read(await bob.page.locator("#incoming-title").textContent()), "ecilA is calling");
  const [name, words] = await Promise.all(["ecilA", "is calling"].map((part) => painted(bob, "#incoming-title", part)));
  assert.ok(name.right <= words.left, "the ring reads the other way round");
  assert.doesNotMatch(await bob.page.content(), /\u202e/);
  await bob.presses("decline");
  await mallory.presses("close-ended");
});

test("a stored name of which nothing is to be seen is the user's id", async () => {
  assert.equal(await bob.find("contact-nobody").locator("strong").textContent(), "nobody");
});
