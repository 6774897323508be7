// A Convoke server of its own for a test file, on free loopback ports, ended by its process id.

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { createServer } from "node:net";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const PROGRAM = process.env.CONVOKE ?? fileURLToPath(new URL("../target/debug/convoke", import.meta.url));
const READY_WITHIN_MS = 30_000;

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise((done) => {
      const server = createServer().listen(0, "127.0.0.1", () => done(server));
    })),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

export class Server {
  static async start(settings = []) {
    const server = new Server();
    server.folder = mkdtempSync(join(tmpdir(), "convoke-test-"));
    server.settings = settings;
    [server.mqtt, server.mqtts, server.http, server.https, server.media] = await freePorts(5);
    await server.run();
    return server;
  }

  async run() {
    const keys = ["mqtt.listen", "mqtt.tls_listen", "http.listen", "http.tls_listen", "media.listen"];
    const ports = [this.mqtt, this.mqtts, this.http, this.https, this.media];
    const addresses = keys.flatMap((key, n) => ["--set", `${key}=127.0.0.1:${ports[n]}`]);
    const settings = this.settings.flatMap((setting) => ["--set", setting]);
    const log = openSync(this.logFile, "a");
    this.process = spawn(PROGRAM, ["serve", "--dev", "--data", join(this.folder, "data"), ...addresses, ...settings], {
      stdio: ["ignore", log, log],
    });
    this.ended = new Promise((done) => this.process.once("exit", done));
    await this.ready();
  }

  get logFile() {
    return join(this.folder, "server.log");
  }

  get url() {
    return `http://localhost:${this.http}`;
  }

  get log() {
    return readFileSync(this.logFile, "utf8");
  }

  async ready() {
    const until = Date.now() + READY_WITHIN_MS;
    while (Date.now() < until) {
      const ready = await fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false);
      if (ready) return;
      if (this.process.exitCode !== null) break;
      await pause(20);
    }
    throw new Error(`the server was not ready:\n${this.log}`);
  }

  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  async stop() {
    this.process.kill("SIGTERM");
    await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
  }

  read(file) {
    return readFileSync(join(this.folder, "data", file), "utf8").trim();
  }

  async api(method, path, body) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.read("api-key")}`, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  register(user, device) {
    return this.api("POST", `/api/v1/users/${user}/devices`, { device: `${user}-${device}` });
  }

  /** A link that logs a page in as `user`. */
  async link(user, options = "") {
    const { secret } = await this.api("POST", `/api/v1/users/${user}/login-links`);
    return `${this.url}/#login=${secret}${options}`;
  }

  /** Username and password of a service (Signature login). */
  service(clientId) {
    const key = JSON.parse(this.read("access-key"));
    const password = createHmac("sha1", key.secret).update(clientId).digest("base64");
    return { username: `Signature|${key.key_id}|${key.instance}`, password };
  }
}
