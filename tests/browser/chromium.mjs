// Chromium as these tests want it. Flags that a person's browser would not have are named for what they lift.

import { chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

const ALWAYS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];
/** Grants camera and microphone without a question, and makes up both. */
const DEVICES = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=fps=30"];
/** What a browser with a window has by default. */
const BARE = ["--autoplay-policy=document-user-activation-required"];
const LIFTED = ["--allow-loopback-in-peer-connection", "--autoplay-policy=no-user-gesture-required"];
/** Scroll bars take room in a person's browser, so they do here. */
const SHOWN = ["--hide-scrollbars"];

/**
 * A browser of its own process. `camera`: a .y4m or .mjpeg file instead of Chromium's test picture. `devices: false`: a
 * machine without camera and microphone. `bare`: the rules for loopback media and for sound before a touch stay. `host`: where
 * in a test's network it runs.
 */
export function launch(options = {}) {
  return chromium.launch(settings(options));
}

/** A browser whose one profile is kept in `folder`, over its end and next start. Returns the profile, as a context. */
export function launchProfile(folder, options = {}) {
  return chromium.launchPersistentContext(folder, settings(options));
}

function settings({ camera, devices = true, bare = false, host }) {
  const args = [...ALWAYS, ...(devices ? DEVICES : []), ...(bare ? BARE : LIFTED)];
  if (camera) args.push(`--use-file-for-fake-video-capture=${camera}`);
  return { executablePath: host?.starter(EXECUTABLE) ?? EXECUTABLE, args, ignoreDefaultArgs: SHOWN };
}
