// The screens of a call in Firefox at six sizes, with scroll bars that take room: nothing overflows, nothing is cut or covered.
// The pictures are for people to look at: build/pictures.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { faultsOf } from "../browser/geometry.mjs";
import { connect, everybodyHome } from "../browser/people.mjs";
import { skip, Stage } from "./stage.mjs";

const SIZES = [[320, 640], [390, 844], [844, 390], [768, 1024], [1280, 800], [1920, 1080]];
const PICTURES = fileURLToPath(new URL("../../build/pictures", import.meta.url));
let stage, alice, bob, carol;

before(async () => {
  if (skip) return;
  mkdirSync(PICTURES, { recursive: true });
  stage = await Stage.set();
  ({ alice, bob } = stage);
  carol = await stage.opens(stage.chromium, "carol");
  await carol.findsEverybody();
});

afterEach(() => skip || everybodyHome(alice, bob, carol));

after(() => stage?.clear());

/** Two frames: what a change of size sets in motion has been laid out. */
const laidOut = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

async function look({ page }, screen) {
  for (const [width, height] of SIZES) {
    await page.setViewportSize({ width, height });
    await page.evaluate(laidOut);
    const size = `${width}x${height}`;
    await page.screenshot({ path: join(PICTURES, `firefox-${screen}-${size}.png`) });
    assert.deepEqual(await faultsOf(page), [], `${screen} at ${size} in Firefox`);
  }
}

test("scroll bars take room here", { skip }, async () => {
  const room = await alice.page.evaluate(() => {
    const box = document.body.appendChild(document.createElement("div"));
    box.style.overflowY = "scroll";
    const bar = box.offsetWidth - box.clientWidth;
    box.remove();
    return bar;
  });
  assert.ok(room > 0, "the profile turns overlay scroll bars off");
});

test("the list of people", { skip }, () => look(alice, "contacts"));

test("ringing, and being called", { skip }, async () => {
  await bob.calls("alice");
  await alice.isRung();
  await look(alice, "ringing");
  await alice.presses("decline");
  await bob.reads("Alice declined");
  await alice.calls("bob");
  await bob.isRung();
  await look(alice, "calling");
});

test("a call of two, of three, and its panels", { skip }, async () => {
  await connect(alice, bob);
  await look(alice, "in-call");
  await alice.presses("people");
  await look(alice, "in-call-people");
  await alice.invites("carol");
  await carol.isRung();
  await look(alice, "in-call-invite");
  await carol.answers();
  await Promise.all([alice.sees("carol"), carol.sees("alice")]);
  await alice.page.keyboard.press("Escape");
  await look(alice, "three-in-call");
});
