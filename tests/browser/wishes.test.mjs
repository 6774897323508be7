// What a person has asked the system for: no motion, colours of their own, larger letters. Screens with made-up states.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./chromium.mjs";
import { faultsOf } from "./geometry.mjs";
import { reachByTab } from "./inspect.mjs";
import { LAPTOP } from "./people.mjs";
import { serveStories } from "./stories.mjs";

/** Screens on which something moves unless that is unwanted. */
const MOVING = ["calling-ringing", "ringing", "trouble", "people", "signing-in", "confirm-end"];
let stories, browser, page;

before(async () => {
  stories = await serveStories();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await stories?.close();
});

async function show(story, options = {}) {
  await page?.context().close();
  page = await (await browser.newContext({ viewport: LAPTOP, reducedMotion: "reduce", ...options })).newPage();
  await page.goto(stories.at(story));
  await page.locator("#main").waitFor();
  return page;
}

/** How many animations and transitions run that take time. */
const moving = () => page.evaluate(() => document.getAnimations().filter(({ playState }) => playState === "running").length);

test("something moves while it rings, where that is wanted", async () => {
  await show("ringing", { reducedMotion: "no-preference" });
  assert.ok((await moving()) > 0);
});

for (const story of MOVING) {
  test(`nothing moves on ${story} for who wants no motion`, async () => {
    await show(story);
    assert.equal(await moving(), 0);
  });
}

for (const story of ["contacts", "ringing", "in-call", "people", "confirm-remove"]) {
  test(`the focus is seen, and buttons have an edge, in forced colours on ${story}`, async () => {
    await show(story, { forcedColors: "active" });
    const { missed, unmarked } = await reachByTab(page);
    assert.deepEqual({ missed, unmarked }, { missed: [], unmarked: [] });
    const bare = await page.evaluate(() => {
      const within = document.querySelector("dialog:modal") ?? document;
      const shapes = [...within.querySelectorAll(".button, .icon-button, .control-disc")].filter((each) => each.checkVisibility());
      return shapes.filter((each) => getComputedStyle(each).borderTopStyle === "none").map(({ className }) => className);
    });
    assert.deepEqual(bare, []);
  });
}

for (const story of ["contacts", "recent-calls", "ringing", "in-call", "three-in-call", "people", "trouble", "confirm-end"]) {
  test(`${story} keeps its shape with letters of twice the size`, async () => {
    await show(story);
    await page.evaluate(() => document.documentElement.style.setProperty("font-size", "200%"));
    assert.deepEqual(await faultsOf(page), []);
  });
}
