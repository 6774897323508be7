// The Firefox that people have, with made-up devices, driven by Playwright.

import { accessSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { firefox } from "playwright-core";

const EXECUTABLE = process.env.FIREFOX ?? "/usr/bin/firefox-esr";
const BIDI = fileURLToPath(new URL("bidi.mjs", import.meta.url));

const PREFERENCES = {
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  // Scroll bars that take room, as on most desktops.
  "widget.gtk.overlay-scrollbars.enabled": false,
  "widget.non-native-theme.scrollbar.style": 4,
};

/** Why there is no Firefox here; `false` where there is one. */
export const noFirefox = whyNot();

function whyNot() {
  try {
    accessSync(EXECUTABLE);
    return false;
  } catch {
    return `${EXECUTABLE} is not there: install firefox-esr, or name another in FIREFOX`;
  }
}

/** What a context needs: certificates of the built-in authority, and no media features, which this Firefox takes as preferences. */
export const CONTEXT = { ignoreHTTPSErrors: true, colorScheme: null, reducedMotion: null, forcedColors: null, contrast: null };

/** A browser of its own process, at `host` of a test's network. */
export function launchFirefox(host, { preferences = {} } = {}) {
  return firefox.launch({
    executablePath: host ? host.starter(BIDI) : BIDI,
    channel: "moz-firefox",
    env: { ...process.env, FIREFOX: EXECUTABLE, ...(host && { BIDI_HOST: host.address }) },
    firefoxUserPrefs: { ...PREFERENCES, ...preferences },
  });
}
