// The how-to "add calls to your own app", run as it is written: its blocks become files, its server is started against
// a real Convoke server, and two pages in Chromium make a call.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { SIZES } from "../browser/sizes.mjs";
import { listening, onFreePorts, Program, PROGRAM, READY, Server } from "../server.mjs";

const HOW_TO = new URL("../../docs/how-to/add-calls-to-your-app.md", import.meta.url);
const LINES_MAX = 60;
const WITHIN_MS = 20_000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream=fps=30",
  "--autoplay-policy=no-user-gesture-required",
  "--allow-loopback-in-peer-connection",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];

/** The blocks that name a file, by that name. */
function filesOf(markdown) {
  const blocks = markdown.matchAll(/^```\w+ file=(\S+)\n([\s\S]*?)^```$/gm);
  return new Map([...blocks].map(([, name, text]) => [name, text]));
}

const files = filesOf(readFileSync(HOW_TO, "utf8"));
const isApp = (name) => !name.endsWith(".toml");

let folder;
let convoke;
let browser;
let page;
let app;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "convoke-howto-"));
  for (const [name, text] of files) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  mkdirSync(join(folder, "node_modules/@convoke"), { recursive: true });
  symlinkSync(fileURLToPath(new URL("../../web/sdk", import.meta.url)), join(folder, "node_modules/@convoke/sdk"));
  symlinkSync(fileURLToPath(new URL("../node_modules/mqtt", import.meta.url)), join(folder, "node_modules/mqtt"));
  convoke = await Server.start();
  const env = { ...process.env, CONVOKE_URL: convoke.url, CONVOKE_API_KEY: convoke.read("api-key") };
  app = await onFreePorts(1, async ([port]) => {
    const options = { cwd: folder, env: { ...env, PORT: String(port) } };
    const app = new Program(process.execPath, ["server.mjs"], join(folder, "app.log"), options);
    page = `http://localhost:${port}/page/call.html`;
    await app.answers(page);
    return app;
  });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS, ignoreDefaultArgs: ["--hide-scrollbars"] });
});

after(async () => {
  await browser?.close();
  await app?.end();
  await convoke?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** The page of one user, in a browser of its own, with its connections within reach of the test. */
async function open(user) {
  const tab = await (await browser.newContext()).newPage();
  tab.faults = [];
  tab.on("pageerror", (error) => tab.faults.push(String(error)));
  await tab.addInitScript(() => {
    const Plain = RTCPeerConnection;
    window.connections = [];
    window.RTCPeerConnection = class extends Plain {
      constructor(...args) {
        super(...args);
        window.connections.push(this);
      }
    };
  });
  await tab.goto(`${page}?user=${user}`);
  await until(tab, () => document.getElementById("link").textContent === "online");
  return tab;
}

const until = (tab, check, value) => tab.waitForFunction(check, value, { timeout: WITHIN_MS, polling: 50 });
/** What stands around a name to isolate it is not looked at. */
const says = (tab, words) =>
  until(tab, (words) => document.getElementById("status").textContent.replace(/[\u2068\u2069]/g, "") === words, words);

/** Buttons that one would have to scroll to, or that a finger misses. */
const buttonsOutOfReach = (tab) =>
  tab.evaluate(() => {
    const isInReach = ({ left, top, right, bottom, height }) =>
      left >= 0 && top >= 0 && right <= document.documentElement.clientWidth && bottom <= innerHeight && height >= 44;
    const buttons = [...document.querySelectorAll("button")];
    return buttons.filter((button) => !isInReach(button.getBoundingClientRect())).map(({ textContent }) => textContent);
  });

/** So many pictures are there, and each moves. */
const shows = (tab, count) =>
  until(
    tab,
    (count) => {
      const videos = [...document.querySelectorAll("#players video")];
      const moves = (video) => video.videoWidth > 0 && video.getVideoPlaybackQuality().totalVideoFrames > 15;
      return videos.length === count && videos.every(moves);
    },
    count,
  );

const hears = (tab) =>
  until(tab, async () => {
    const reports = await Promise.all(window.connections.map((connection) => connection.getStats()));
    const sound = (report) => report.type === "inbound-rtp" && report.kind === "audio" && report.totalAudioEnergy > 0;
    return document.querySelector("#players audio") !== null && reports.some((all) => [...all.values()].some(sound));
  });

test(`the app has at most ${LINES_MAX} lines of code`, () => {
  const app = [...files].filter(([name]) => isApp(name));
  assert.deepEqual(app.map(([name]) => name), ["server.mjs", "page/call.html", "page/call.js"]);
  const lines = app.flatMap(([, text]) => text.split("\n")).filter((line) => line.trim() !== "");
  assert.ok(lines.length <= LINES_MAX, `${lines.length} lines`);
});

test("the app's server hands out nothing outside its folders", async () => {
  const { origin } = new URL(page);
  for (const path of ["/server.mjs", "/x/etc/hostname", "/page/%2e%2e/server.mjs", "/page/..%2fserver.mjs", "/-/../etc/hostname"]) {
    assert.equal((await fetch(origin + path)).status, 404, path);
  }
});

test("two people call each other: it rings, both see and hear, mute shows, the end reaches both", async () => {
  const [alice, bob] = [await open("alice"), await open("bob")];
  await alice.click("#call");
  await says(bob, "Alice calls");
  await bob.click("#accept");
  await Promise.all([shows(alice, 2), shows(bob, 2), hears(alice), hears(bob), says(alice, "joined"), says(bob, "joined")]);
  await alice.click("#mute");
  await alice.getByRole("button", { name: "Unmute" }).click();
  await alice.getByRole("button", { name: "Mute", exact: true }).waitFor();
  await bob.click("#leave");
  await Promise.all([says(alice, "ended"), says(bob, "ended"), shows(alice, 0), shows(bob, 0)]);
  assert.deepEqual([...alice.faults, ...bob.faults], []);
  await Promise.all([alice.context().close(), bob.context().close()]);
});

test("in a call the buttons stay in view in every size", async () => {
  const [alice, bob] = [await open("alice"), await open("bob")];
  await alice.click("#call");
  await says(bob, "Alice calls");
  await bob.click("#accept");
  await Promise.all([shows(alice, 2), shows(bob, 2)]);
  for (const size of SIZES) {
    await alice.setViewportSize(size);
    assert.deepEqual(await buttonsOutOfReach(alice), [], `${size.width} × ${size.height}`);
  }
  await alice.click("#leave");
  await says(bob, "ended");
  await Promise.all([alice.context().close(), bob.context().close()]);
});

test("who calls somebody that does not exist reads why nobody rings", async () => {
  const alice = await open("alice");
  await alice.fill("#who", "nobody-has-this-name");
  await alice.click("#call");
  await until(alice, () => document.getElementById("status").textContent.startsWith("refused_not_allowed: "));
  await alice.context().close();
});

test("a person whose tab was closed finds the call that still waits, and may decline it", async () => {
  const alice = await open("alice");
  await alice.click("#call");
  await says(alice, "calling");
  const bob = await (await browser.newContext()).newPage();
  await bob.goto(`${page}?user=bob`);
  await says(bob, "Alice calls");
  await bob.click("#leave");
  await Promise.all([says(alice, "ended"), says(bob, "ended")]);
  await Promise.all([alice.context().close(), bob.context().close()]);
});

test("the configuration for others is one that the server starts with", async () => {
  let ports;
  const program = await onFreePorts(4, async (chosen) => {
    ports = chosen;
    const own = [...listening(ports), "--set", "tls.certificate=", "--set", "tls.key="];
    const args = ["serve", "--config", "convoke.toml", "--data", "data", ...own];
    const program = new Program(PROGRAM, args, join(folder, "convoke.log"), { cwd: folder });
    await program.says(READY);
    return program;
  });
  try {
    const key = readFileSync(join(folder, "data/api-key"), "utf8").trim();
    const answer = await fetch(`http://localhost:${ports[2]}/api/v1/users/alice/devices`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
    });
    const terminal = await answer.json();
    assert.match(terminal.client_id, /^GID_app@@@/);
    assert.equal(terminal.endpoints.mqtt_ws, `wss://calls.example.org:${ports[3]}/mqtt`);
  } finally {
    await program.end();
  }
});
