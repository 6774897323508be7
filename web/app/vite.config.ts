import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/**
 * The policy that the server sends with these pages; `vite preview` sends it too, so that a violation shows before that. Where
 * the server names its join endpoints, the preview lets pages connect to every secure origin.
 */
const policy = readFileSync(new URL("content-security-policy.txt", import.meta.url), "utf8")
  .trim()
  .replace("{origins}", "https: wss:");

/** MQTT.js is a chunk of its own, fetched beside the page's first paint rather than after it. */
function preloadMqtt(): Plugin {
  return {
    name: "preload-mqtt",
    transformIndexHtml: {
      order: "post",
      handler: (_html, { bundle }) =>
        Object.keys(bundle ?? {})
          .filter((file) => /\/mqtt-[^/]+\.js$/.test(file))
          .map(
            (file) => ({ tag: "link", attrs: { rel: "modulepreload", href: `/${file}` }, injectTo: "head" }) as const,
          ),
    },
  };
}

export default defineConfig({
  resolve: { conditions: ["source", "module", "browser", "development|production"] },
  plugins: [preloadMqtt()],
  worker: { format: "es" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "mqtt", test: /node_modules\/mqtt\// }] } },
    },
  },
  server: {
    proxy: {
      "/api": "http://localhost:8080",
      "/rtc": "http://localhost:8080",
      "/mqtt": { target: "ws://localhost:8080", ws: true },
    },
  },
  preview: { headers: { "content-security-policy": policy } },
});
