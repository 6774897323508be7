import { defineConfig } from "vite";

/** The screens with fixture states, for looking at; never part of the build. */
export default defineConfig({
  root: import.meta.dirname,
  publicDir: `${import.meta.dirname}/../public`,
  resolve: { conditions: ["source", "module", "browser", "development|production"] },
  server: { port: 5199, strictPort: true, fs: { allow: [`${import.meta.dirname}/../..`] } },
});
