// A network of a test's own: hosts (network namespaces) on one switch (a bridge), which is also an address of this process.
// Links lose their carrier, packets are dropped without a word; nothing of it touches the machine's own network.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BITS = 24;
const LOOK_EVERY_MS = 10;
const STILL = new Int32Array(new SharedArrayBuffer(4));

const run = (program, ...args) => execFileSync(program, args, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
const quietly = (...command) => {
  try {
    run(...command);
  } catch {
    // It is gone already.
  }
};

export class Network {
  #hosts = [];
  #folder = mkdtempSync(join(tmpdir(), "convoke-network-"));
  /** Names of interfaces have at most 15 characters. */
  #name = `cv${process.pid}`;
  #subnet = `10.${96 + (process.pid % 32)}.${(process.pid >> 5) % 256}`;
  #remove = () => this.remove();

  constructor() {
    process.once("exit", this.#remove);
    run("ip", "link", "add", this.#name, "type", "bridge", "forward_delay", "0");
    run("ip", "address", "add", `${this.#subnet}.1/${BITS}`, "dev", this.#name);
    run("ip", "link", "set", this.#name, "up");
    run("nft", `add table bridge ${this.#name}`);
    run("nft", `add chain bridge ${this.#name} forward { type filter hook forward priority 0; }`);
  }

  /** A further host; a program starts there by `host.starter(program)`. */
  host() {
    const n = this.#hosts.length;
    const host = new Host(`${this.#name}-${n}`, this.#name, this.#folder, (last) => `${this.#subnet}.${last}`, n + 2);
    this.#hosts.push(host);
    return host;
  }

  remove() {
    process.off("exit", this.#remove);
    for (const host of this.#hosts) host.remove();
    quietly("nft", `delete table bridge ${this.#name}`);
    quietly("ip", "link", "delete", this.#name);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** One host, whose packets to and from other hosts can be dropped; this process reaches it all the same while its link is up. */
class Host {
  #table;
  #folder;
  #addressOf;
  #last;

  constructor(name, table, folder, addressOf, last) {
    Object.assign(this, { name, address: addressOf(last) });
    [this.#table, this.#folder, this.#addressOf, this.#last] = [table, folder, addressOf, last];
    run("ip", "netns", "add", name);
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name);
    run("ip", "link", "set", name, "master", table, "up");
    // No address comes by itself a moment later: a browser would drop what it is loading, since the network has changed.
    run("ip", "-n", name, "link", "set", "eth0", "addrgenmode", "none");
    for (const device of ["lo", "eth0"]) run("ip", "-n", name, "link", "set", device, "up");
    run("ip", "-n", name, "address", "add", `${this.address}/${BITS}`, "dev", "eth0");
    while (!/state UP/.test(run("ip", "-n", name, "link", "show", "eth0"))) Atomics.wait(STILL, 0, 0, LOOK_EVERY_MS);
    run("nft", `add chain bridge ${table} ${name}`);
    for (const way of ["iifname", "oifname"]) run("nft", `add rule bridge ${table} forward ${way} ${name} jump ${name}`);
  }

  /** The path of a script that runs `program` here. */
  starter(program) {
    const path = join(this.#folder, `${this.name}-${program.split("/").at(-1)}`);
    writeFileSync(path, `#!/bin/sh\nexec ip netns exec ${this.name} ${program} "$@"\n`, { mode: 0o700 });
    return path;
  }

  /** The cable is out: the host sees that. */
  unplug() {
    run("ip", "link", "set", this.name, "down");
  }

  plug() {
    run("ip", "link", "set", this.name, "up");
  }

  /** Packets to and from other hosts are lost, and the host is not told; `of`: only those of a protocol, as `udp`. */
  drop(of) {
    const match = of ? `ether type ip ip protocol ${of}` : "";
    run("nft", `add rule bridge ${this.#table} ${this.name} ${match} drop`);
  }

  /** Nothing is dropped any more. */
  pass() {
    run("nft", `flush chain bridge ${this.#table} ${this.name}`);
  }

  /** The host has another address, and the old one no more. */
  moves() {
    const old = this.address;
    this.#last = this.#last < 128 ? this.#last + 128 : this.#last - 128;
    this.address = this.#addressOf(this.#last);
    run("ip", "-n", this.name, "address", "delete", `${old}/${BITS}`, "dev", "eth0");
    run("ip", "-n", this.name, "address", "add", `${this.address}/${BITS}`, "dev", "eth0");
  }

  remove() {
    quietly("ip", "netns", "delete", this.name);
    quietly("ip", "link", "delete", this.name);
  }
}

/** Why no network can be made here; `false` where one can. */
export const noNetwork = whyNot();

function whyNot() {
  if (process.getuid() !== 0) return "only root may make network namespaces";
  try {
    new Network().remove();
    return false;
  } catch (error) {
    return `no network namespace can be made here: ${error.stderr?.trim() || error.message}`;
  }
}
