// Takes a picture of every story in both sizes and both themes, and holds each against axe and against overflow.
// usage: node stories/shots.mjs <folder> [story …]; exits 1 if anything is found.

import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { createServer } from "vite";

const require = createRequire(import.meta.url);
const axePath = require.resolve("axe-core/axe.min.js");
const SIZES = [
  { name: "390", width: 390, height: 844 },
  { name: "1280", width: 1280, height: 800 },
];
const THEMES = ["light", "dark"];
const [folder = "shots", ...wanted] = process.argv.slice(2);

const server = await createServer({
  configFile: new URL("./vite.config.ts", import.meta.url).pathname,
  logLevel: "error",
});
await server.listen();
const origin = `http://localhost:${server.config.server.port}`;
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
let found = 0;

async function storyNames(page) {
  await page.goto(origin);
  return page.locator("li a").allTextContents();
}

async function look(page, story, label) {
  const errors = [];
  page.removeAllListeners("console");
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${origin}/?story=${story}`);
  await page.waitForSelector("#main");
  await page.waitForTimeout(500);
  await page.screenshot({ path: `${folder}/${story}-${label}.png` });
  await page.addScriptTag({ path: axePath });
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const overflow = await page.evaluate(
    () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
  );
  const problems = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`,
  );
  if (overflow) problems.push("overflows its width");
  return [...problems, ...errors];
}

for (const { name, width, height } of SIZES) {
  for (const colorScheme of THEMES) {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
    const names = await storyNames(page);
    for (const story of names.filter((each) => wanted.length === 0 || wanted.includes(each))) {
      const problems = await look(page, story, `${name}-${colorScheme}`);
      found += problems.length;
      for (const problem of problems) console.log(`${story} ${name} ${colorScheme}: ${problem}`);
    }
    await page.close();
  }
}

console.log(`${found} problems`);
await browser.close();
await server.close();
process.exit(found > 0 ? 1 : 0);
