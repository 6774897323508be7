// Holds the build to its budgets: what a first visit loads, gzipped.

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

const BUDGETS = [
  { what: "JavaScript besides MQTT.js", limit_kb: 60, pick: (name) => name.endsWith(".js.gz") && !isMqtt(name) },
  { what: "CSS", limit_kb: 15, pick: (name) => name.endsWith(".css.gz") },
];
const isMqtt = (name) => name.startsWith("mqtt-");

const assets = new URL("../dist/assets", import.meta.url).pathname;
const names = await readdir(assets);
let over = false;
for (const { what, limit_kb, pick } of BUDGETS) {
  const sizes = await Promise.all(names.filter(pick).map(async (name) => (await stat(join(assets, name))).size));
  const kb = sizes.reduce((sum, size) => sum + size, 0) / 1024;
  over ||= kb > limit_kb || sizes.length === 0;
  console.log(`${what}: ${kb.toFixed(1)} kB of ${limit_kb} kB gzipped`);
}
if (over) {
  console.error("The build is over its budget, or a part of it is missing: see `npm run build`.");
  process.exit(1);
}
