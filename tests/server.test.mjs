// The servers of tests come up beside others that take ports, and say at once why they do not.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "node:tls";
import { listening, onFreePorts, Program, PROGRAM, READY, Server } from "./server.mjs";

const listenOn = (port) =>
  new Promise((done) => {
    const other = createServer().listen(port, "127.0.0.1", () => done(other));
  });

test("a server whose port is taken between choice and bind comes up on another", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "convoke-ports-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  let other, chosen;
  const program = await onFreePorts(4, async (ports) => {
    other ??= await listenOn(ports[2]);
    const args = ["serve", "--dev", "--data", join(folder, "data"), ...listening(ports)];
    const program = new Program(PROGRAM, args, join(folder, "server.log"));
    await program.says(READY);
    chosen = ports[2];
    return program;
  });
  const taken = other.address().port;
  other.close();
  await program.end();
  assert.notEqual(chosen, taken);
});

test("a server that ends at its start is noticed by its end, with its words", async () => {
  await assert.rejects(Server.start(["meeting.ring_s=1"]), /it ended before it was ready[^]*give 5 to 180/);
});

test("a browser is given HTTP/1.1 over TLS: requests do not hang together on one dead connection", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const socket = connect({ port: server.https, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"] });
  t.after(() => socket.destroy());
  await new Promise((done, failed) => socket.once("secureConnect", done).once("error", failed));
  assert.equal(socket.alpnProtocol, "http/1.1");
});
