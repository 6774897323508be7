// The screens of web/app/stories, each with a state made by hand, served for a browser: no server of Convoke's needed.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const WEB = new URL("../../web/", import.meta.url);

/** Serves the stories; `close` ends it. */
export async function serveStories() {
  const vite = createRequire(new URL("package.json", WEB)).resolve("vite");
  const { createServer } = await import(pathToFileURL(vite).href);
  const configFile = new URL("app/stories/vite.config.ts", WEB).pathname;
  const server = await createServer({ configFile, logLevel: "error", server: { port: 0, strictPort: false } });
  await server.listen();
  const url = server.resolvedUrls.local[0];
  return { url, close: () => server.close(), at: (story) => `${url}?story=${encodeURIComponent(story)}` };
}
