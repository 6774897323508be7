// A Convoke server of its own for a test file, on free ports of loopback or at a host of the test's network, ended by its
// process id.

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { createServer } from "node:net";
import { appendFileSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const PROGRAM = process.env.CONVOKE ?? fileURLToPath(new URL("../target/debug/convoke", import.meta.url));
/** What the server prints when it is ready. */
export const READY = "Convoke is ready.";
const READY_WITHIN_MS = 60_000;
const CHOICES_OF_PORTS = 10;
/** Below are the ports of known services. */
const PORTS_FROM = 10_000;
const PORTS_PER_PROCESS = 64;

/** From such a port on, the kernel deals ports to whoever asks for any. */
const DEALT_FROM = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/)[0]);
const ROOM = DEALT_FROM - PORTS_FROM;
let chosen = 0;

/** Whether somebody listens there at this moment. */
const isFree = (port) =>
  new Promise((done) => {
    const server = createServer().once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });

/**
 * Ports that are free at this moment, and that nobody gets who does not name them: not between choice and bind, nor
 * while a killed server is down. Each process of the tests begins elsewhere.
 */
export async function freePorts(count) {
  const ports = [];
  while (ports.length < count) {
    const port = PORTS_FROM + ((process.pid * PORTS_PER_PROCESS + chosen++) % ROOM);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/** Somebody else named the same port first. */
class PortTaken extends Error {}

/** Starts what `begin` begins on ports of its choice, and chooses anew when one of them was taken meanwhile. */
export async function onFreePorts(count, begin) {
  for (let left = CHOICES_OF_PORTS; ; left--) {
    const ports = await freePorts(count);
    try {
      return await begin(ports);
    } catch (error) {
      if (left === 1 || !(error instanceof PortTaken)) throw error;
    }
  }
}

/** A program whose output goes to a file; it is ended by its process id. */
export class Program {
  constructor(command, args, log, options = {}) {
    this.log = log;
    const out = openSync(log, "a");
    this.process = spawn(command, args, { ...options, stdio: ["ignore", "pipe", out] });
    this.ended = new Promise((done) => this.process.once("exit", done));
    this.process.stdout.on("data", (said) => appendFileSync(out, said));
    this.process.once("close", () => closeSync(out));
  }

  /** Until it has printed `words`. */
  says(words) {
    let said = "";
    return this.#ready(new Promise((done) => {
      this.process.stdout.on("data", (more) => {
        said += more;
        if (said.includes(words)) done();
      });
    }));
  }

  /** Until `url` is answered well. */
  answers(url) {
    const isWell = () => fetch(url).then((answer) => answer.ok, () => false);
    const isOver = () => this.process.exitCode ?? this.process.signalCode;
    return this.#ready((async () => {
      while (isOver() === null && !(await isWell())) await pause(20);
    })());
  }

  /** Rejects as soon as it has ended before; one that is not ready in time is ended. */
  async #ready(ready) {
    const timer = setTimeout(() => this.process.kill("SIGKILL"), READY_WITHIN_MS);
    const isReady = await Promise.race([this.ended.then(() => false), ready.then(() => true)]);
    clearTimeout(timer);
    if (isReady) return;
    const log = readFileSync(this.log, "utf8");
    const Cause = /cannot listen on|EADDRINUSE/.test(log) ? PortTaken : Error;
    throw new Cause(`it ended before it was ready:\n${log}`);
  }

  async end(signal = "SIGTERM") {
    this.process.kill(signal);
    await this.ended;
  }
}

const LISTENERS = ["mqtt.listen", "mqtt.tls_listen", "http.listen", "http.tls_listen"];

/** The arguments of a server on these ports; media and metrics on any, the queue too if there is no fifth. */
export function listening(ports, address = "127.0.0.1") {
  const given = LISTENERS.map((key, n) => `${key}=${address}:${ports[n]}`);
  return [...given, `queue.listen=${address}:${ports[LISTENERS.length] ?? 0}`, `media.listen=${address}:0`, "metrics.listen=127.0.0.1:0"].flatMap((setting) => ["--set", setting]);
}

/** What `--dev` has of its own, for a server that others are to reach: that one needs a name in its certificate besides. */
const reachable = (address) => ["names.signalling=true", 'names.groups=["GID_test"]', `tls.names=["${address}"]`];
const PEOPLE = { alice: "Alice", bob: "Bob", carol: "Carol" };

export class Server {
  /** With `--dev` on loopback; at a `host` as an operator starts it, with the same three people. */
  static async start(settings = [], host) {
    const server = new Server();
    server.folder = mkdtempSync(join(tmpdir(), "convoke-test-"));
    server.host = host;
    server.settings = host ? [...reachable(host.address), ...settings] : settings;
    await onFreePorts(LISTENERS.length + 1, (ports) => {
      [server.mqtt, server.mqtts, server.http, server.https, server.queue] = server.ports = ports;
      return server.run();
    });
    if (host) for (const [user, name] of Object.entries(PEOPLE)) await server.api("PUT", `/api/v1/users/${user}`, { name });
    return server;
  }

  async run() {
    const settings = this.settings.flatMap((setting) => ["--set", setting]);
    const listeners = listening(this.ports, this.host?.address);
    const args = ["serve", ...(this.host ? [] : ["--dev"]), "--data", join(this.folder, "data"), ...listeners, ...settings];
    this.program = new Program(this.host?.starter(PROGRAM) ?? PROGRAM, args, this.logFile);
    await this.program.says(READY);
  }

  get logFile() {
    return join(this.folder, "server.log");
  }

  /** Where the API is, and `--dev`'s pages. */
  get plainUrl() {
    return `http://${this.host?.address ?? "localhost"}:${this.http}`;
  }

  /** Where people open its pages. */
  get url() {
    return this.host ? `https://${this.host.address}:${this.https}` : this.plainUrl;
  }

  get log() {
    return readFileSync(this.logFile, "utf8");
  }

  kill() {
    return this.program.end("SIGKILL");
  }

  async stop() {
    await this.program.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  read(file) {
    return readFileSync(join(this.folder, "data", file), "utf8").trim();
  }

  async api(method, path, body) {
    const answer = await fetch(this.plainUrl + path, {
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
