// tsc rewrites the endings of imports but not those of `new URL(…)`, by which workers are found.

import { readFile, writeFile } from "node:fs/promises";

const path = new URL("../dist/core/timer.js", import.meta.url);
const text = await readFile(path, "utf8");
await writeFile(path, text.replace("./timer.worker.ts", "./timer.worker.js"));
