#!/usr/bin/env node
// Firefox as Playwright starts it, with WebDriver BiDi in between: Playwright speaks a newer draft than a Firefox with
// extended support, and what only that draft has is answered here. Media features are preferences of the profile instead.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import WebSocket, { WebSocketServer } from "ws";

const LATER = new Set(["emulation.setMediaFeaturesOverride"]);
/** Where Playwright reaches this program: another address than loopback inside a network namespace. */
const HOST = process.env.BIDI_HOST ?? "127.0.0.1";

const firefox = spawn(process.env.FIREFOX, process.argv.slice(2), { stdio: ["ignore", "inherit", "pipe"] });
firefox.once("exit", (code) => process.exit(code ?? 1));
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.once(signal, () => firefox.kill(signal));

createInterface({ input: firefox.stderr }).on("line", (line) => {
  const [, address] = /WebDriver BiDi listening on (ws:\S+)/.exec(line) ?? [];
  if (address) listen(address);
  else process.stderr.write(`${line}\n`);
});

function listen(address) {
  const server = new WebSocketServer({ host: HOST, port: 0 });
  server.once("listening", () => process.stderr.write(`WebDriver BiDi listening on ws://${HOST}:${server.address().port}\n`));
  server.on("connection", (playwright, request) => relay(playwright, new WebSocket(address + request.url)));
}

function relay(playwright, browser) {
  const opened = new Promise((done) => browser.once("open", done));
  playwright.on("message", async (data) => {
    await opened;
    const { id, method } = JSON.parse(data);
    if (LATER.has(method)) playwright.send(JSON.stringify({ type: "success", id, result: {} }));
    else browser.send(String(data));
  });
  browser.on("message", (data) => playwright.send(String(data)));
  for (const [one, other] of [[playwright, browser], [browser, playwright]]) {
    one.on("close", () => other.close());
    one.on("error", () => other.terminate());
  }
}
