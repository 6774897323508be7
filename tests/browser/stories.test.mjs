// Every state of every screen, made by hand, in every size and both themes. `STORIES=in-call,people` picks some;
// `PICTURES=1` (`make pictures`) also takes them, for people to look at, into build/pictures/stories.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "./chromium.mjs";
import { drawn, faultsOf } from "./geometry.mjs";
import { objections } from "./inspect.mjs";
import { LAPTOP, PHONE } from "./people.mjs";
import { SIZES, THEMES } from "./sizes.mjs";
import { serveStories } from "./stories.mjs";

const PICTURES = fileURLToPath(new URL("../../build/pictures/stories", import.meta.url));
mkdirSync(PICTURES, { recursive: true });

const stories = await serveStories();
const browser = await launch();
const page = await (await browser.newContext({ reducedMotion: "reduce" })).newPage();
const errors = [];
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(String(error)));

after(async () => {
  await browser.close();
  await stories.close();
});

await page.goto(stories.url);
await page.locator("li a").first().waitFor();
const all = await page.locator("li a").allTextContents();
const wanted = process.env.STORIES?.split(",") ?? all;
const takesPictures = process.env.PICTURES !== undefined;
/** Colours depend on the theme alone, but for what only a small or a large window shows. */
const TWO_SIZES = [PHONE, LAPTOP];
const SIZES_IN_DARK = takesPictures ? SIZES : TWO_SIZES;

/** Words of the program's that no person is to read. In the page. */
function nonsense() {
  return [...document.body.innerText.matchAll(/\S*(NaN|undefined|\[object)\S*/g)].map(([word]) => `says ${word}`);
}

async function lookAt(story) {
  await page.goto(stories.at(story));
  await page.locator("#main").waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll("video")].every(({ classList }) => classList.contains("seen")));
  await page.evaluate(() => document.fonts.ready);
  const found = new Map();
  const note = (faults, where) => {
    for (const fault of faults) found.set(fault, [...(found.get(fault) ?? []), where]);
  };
  for (const colorScheme of THEMES) {
    await page.emulateMedia({ colorScheme });
    for (const size of colorScheme === "light" ? SIZES : SIZES_IN_DARK) {
      await page.setViewportSize(size);
      await drawn(page);
      const where = `${size.width}x${size.height}-${colorScheme}`;
      if (takesPictures) await page.screenshot({ path: join(PICTURES, `${story}-${where}.png`) });
      // A theme changes colours and nothing else.
      if (colorScheme === "light") note([...(await faultsOf(page)), ...(await page.evaluate(nonsense))], where);
      // What axe looks for is the same on a phone and on a larger one.
      if (TWO_SIZES.includes(size)) note(await objections(page, colorScheme === "light" ? undefined : ["color-contrast"]), where);
    }
  }
  return [...found].map(([fault, where]) => `${fault} (${where.join(", ")})`);
}

for (const story of wanted) {
  test(`the screen ${story} keeps its shape at every size`, async () => {
    assert.deepEqual([...(await lookAt(story)), ...errors.splice(0)], []);
  });
}
