// Makes the pictures of README and docs anew: a real server, two browsers, one call. usage: node browser/pictures.mjs [folder]

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { open } from "./people.mjs";
import { LOOKS, writePortrait } from "./portrait.mjs";

const target = process.argv[2] ?? fileURLToPath(new URL("../../docs/pictures", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "convoke-pictures-"));
const options = { viewport: { width: 1280, height: 720 }, reducedMotion: "reduce" };

async function browserOf(user) {
  const camera = join(folder, `${user}.mjpeg`);
  await writePortrait(camera, LOOKS[user]);
  return launch({ camera });
}

/** Waits until the encoder's estimate has risen and notices are gone: a call as it looks most of the time. */
async function settled(person) {
  await person.until(async () => (await person.total("inbound-rtp", "video", "frameHeight")) >= 720, "pictures are sharp");
  await person.reads("0:12");
}

const server = await Server.start();
const browsers = [await browserOf("alice"), await browserOf("bob")];
try {
  const alice = await open(browsers[0], server, "alice", options);
  const bob = await open(browsers[1], server, "bob", options);
  await Promise.all([alice, bob].map((person) => person.findsEverybody()));
  await bob.presses("ready");
  await Promise.all([alice.findsThatIs("Online", "bob"), bob.findsThatIs("Online", "alice")]);
  await alice.calls("bob");
  await bob.isRung();
  await bob.page.screenshot({ path: join(target, "ringing.png") });
  await bob.answers();
  await alice.sees("bob");
  await settled(alice);
  await alice.page.screenshot({ path: join(target, "in-call.png") });
  await alice.hangsUp();
} finally {
  await Promise.all(browsers.map((browser) => browser.close()));
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
