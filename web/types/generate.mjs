// Makes sdk/src/generated/signalling.ts from the committed JSON Schema of the signalling crate.
// `--check` writes nothing and fails when the committed file is not what would be made.

import { readFile, writeFile } from "node:fs/promises";
import { compile } from "json-schema-to-typescript";

const schemaPath = new URL("../../crates/signalling/signalling.schema.json", import.meta.url);
const typesPath = new URL("../sdk/src/generated/signalling.ts", import.meta.url);

const banner = "/* Made from crates/signalling/signalling.schema.json by `npm run types`. Do not edit. */";
const options = { bannerComment: banner, additionalProperties: false, format: true, style: { printWidth: 120 } };

const schema = JSON.parse(await readFile(schemaPath, "utf8"));
const types = await compile(schema, "Signalling", options);

if (process.argv.includes("--check")) {
  const committed = await readFile(typesPath, "utf8").catch(() => "");
  if (committed !== types) {
    console.error(`${typesPath.pathname} is older than the schema: run \`npm run types\` and commit the result.`);
    process.exit(1);
  }
} else {
  await writeFile(typesPath, types);
}
