// Every screen in real states, on a phone and on a laptop, light and dark; a call in every size, since no person may have to
// look for its buttons. The pictures are for people to look at: build/pictures. Made-up states: stories.test.mjs.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { drawn } from "./geometry.mjs";
import { inspect } from "./inspect.mjs";
import { connect, everybodyHome, LAPTOP, open, PHONE } from "./people.mjs";
import { LOOKS, writePortrait } from "./portrait.mjs";
import { SIZES, THEMES } from "./sizes.mjs";

const TWO_LOOKS = THEMES.flatMap((colorScheme) => [PHONE, LAPTOP].map((size) => ({ colorScheme, size })));
/** A call is dark in either theme. */
const ALL_SIZES = SIZES.map((size) => ({ colorScheme: "light", size }));
const PICTURES = fileURLToPath(new URL("../../build/pictures", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "convoke-portraits-"));
let server, browsers, alice, bob, carol;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  server = await Server.start();
  browsers = await Promise.all(["alice", "bob"].map(async (user) => {
    const camera = join(folder, `${user}.mjpeg`);
    await writePortrait(camera, LOOKS[user]);
    return launch({ camera });
  }));
  const options = { reducedMotion: "reduce" };
  alice = await open(browsers[0], server, "alice", options);
  bob = await open(browsers[1], server, "bob", { ...options, link: "&speaker=off" });
  carol = await open(browsers[1], server, "carol", options);
  await Promise.all([alice, bob, carol].map((person) => person.findsEverybody()));
});

afterEach(() => everybodyHome(alice, bob, carol));

after(async () => {
  await Promise.all((browsers ?? []).map((browser) => browser.close()));
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Takes pictures of a page, then holds it against what every screen must keep. */
async function look({ page }, screen, controls, looks = TWO_LOOKS) {
  for (const { colorScheme, size } of looks) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(size);
    await drawn(page);
    await page.screenshot({ path: join(PICTURES, `${screen}-${size.width}x${size.height}-${colorScheme}.png`) });
  }
  for (const { colorScheme, size } of looks) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(size);
    // What axe looks for is the same on a phone and on a larger one.
    const byAxe = [PHONE, LAPTOP].includes(size);
    const found = await inspect(page, `${screen} at ${size.width} × ${size.height}, ${colorScheme}`, { byAxe });
    for (const control of controls) assert.ok(found.some((label) => label.includes(control)), `${control} on ${screen}: ${found}`);
  }
}

test("the list of people", async () => {
  await alice.findsThatIs("Online", "bob");
  await look(alice, "contacts", ["Skip to content", "ready for calls", "Video call with Bob", "Audio call with Carol"]);
  await look(bob, "contacts-speaker-off", ["Turn speaker on"]);
});

test("ringing, at the one who is called and at the one who calls", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await alice.reads("Ringing…");
  await look(bob, "ringing", ["Accept with video", "Accept with audio", "Decline"]);
  await look(bob, "ringing", ["Accept with video", "Accept with audio", "Decline"], ALL_SIZES);
  await look(alice, "calling", ["Mute", "Stop video", "Cancel"], ALL_SIZES);
  await bob.presses("decline");
  await alice.reads("Bob declined");
});

test("a call of two, with the list of people and of whom to invite", async () => {
  await connect(alice, bob);
  await look(alice, "in-call", ["Mute", "Stop video", "Speaker off", "People", "Invite", "Leave"], ALL_SIZES);
  await look(bob, "in-call-speaker-off", ["Turn speaker on", "Leave"]);
  await alice.presses("people");
  await look(alice, "in-call-people", ["Block speech: Bob", "Remove Bob from the call", "End for all", "Close"]);
  await alice.presses("end-all");
  await look(alice, "in-call-end-all", ["Keep the call", "End for all"]);
  await alice.page.keyboard.press("Escape");
  await alice.presses("invite");
  await look(alice, "in-call-invite", ["Ring Carol", "Close"]);
});

test("a call of three", async () => {
  await connect(alice, bob);
  await alice.invites("carol");
  await carol.isRung();
  await carol.answers();
  await Promise.all([alice.sees("carol"), alice.sees("bob"), carol.sees("alice")]);
  await alice.page.keyboard.press("Escape");
  await look(alice, "three-in-call", ["Leave"], ALL_SIZES);
});

test("a call that was blocked and muted", async () => {
  await connect(alice, bob);
  await bob.presses("mic");
  await alice.asHost("block", "bob");
  await bob.find("banner-blocked").waitFor();
  await look(bob, "blocked", ["Speech blocked", "Leave"]);
  await alice.page.keyboard.press("Escape");
  await alice.tile("bob").getByTestId("mark-blocked").waitFor();
  await look(alice, "in-call-blocked", ["Leave"]);
});

test("a missed call", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await alice.hangsUp();
  await bob.find("missed-alice").waitFor();
  await look(bob, "missed", ["Call back Alice", "Dismiss missed call from Alice"]);
  await bob.presses("dismiss-missed");
});

test("a call that was declined", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await bob.presses("decline");
  await alice.reads("Bob declined");
  await look(alice, "declined", ["Call again", "Close"]);
});

test("calling somebody who is offline", async () => {
  await bob.closes();
  await alice.findsThatIs("Offline", "bob");
  await look(alice, "contacts-offline", ["Video call with Bob"]);
  await alice.calls("bob");
  await alice.reads(/Offline: rings if back before/);
  await look(alice, "offline", ["Cancel"]);
  await alice.hangsUp();
  await bob.comesBack();
  await bob.presses("dismiss-missed");
});

test("a call whose server is away, and the list of people then", async () => {
  await connect(alice, bob);
  await server.kill();
  await alice.find("banner-down").waitFor();
  await look(alice, "server-away", ["Leave"]);
  await alice.hangsUp();
  await alice.reads("Reconnecting…");
  await alice.findsThatIs("Unknown", "bob");
  await look(alice, "contacts-server-away", ["Video call with Bob"]);
  await server.run();
  await alice.isOnline();
});

test("a page without a link, and one whose link is not valid", async () => {
  const context = await browsers[0].newContext({ reducedMotion: "reduce" });
  const page = await context.newPage();
  await page.goto(server.url);
  await page.getByTestId("no-link").waitFor();
  await look({ page }, "no-link", ["Skip to content"]);
  await page.goto(`${server.url}/#login=nobody-has-made-this-one`);
  await page.getByTestId("refused").waitFor();
  await look({ page }, "link-invalid", ["Skip to content"]);
  await context.close();
});
