// Puts a .br and a .gz beside every text file of the build, so that the server has nothing to compress.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const dist = new URL("../dist", import.meta.url).pathname;
const TEXT = /\.(html|js|css|svg|webmanifest)$/;
const brotli = {
  params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT },
};

const entries = await readdir(dist, { recursive: true, withFileTypes: true });
const files = entries.filter((entry) => entry.isFile() && TEXT.test(entry.name));
await Promise.all(
  files.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path);
    await writeFile(`${path}.br`, await promisify(brotliCompress)(text, brotli));
    await writeFile(`${path}.gz`, await promisify(gzip)(text, { level: 9 }));
  }),
);
