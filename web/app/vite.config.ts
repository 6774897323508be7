import { defineConfig, type Plugin } from "vite";

/**
 * What the server sends with these pages; `vite preview` sends it too, so that a violation shows before that.
 * `connect-src` names the join doors besides this origin: the server puts its own there.
 */
export const CSP =
  "default-src 'self'; connect-src 'self' https: wss:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

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
  preview: { headers: { "content-security-policy": CSP } },
});
