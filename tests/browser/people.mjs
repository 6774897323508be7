// People at their pages: what they do, and what they are to see and hear. Every wait is for something to happen.

import { setTimeout as pause } from "node:timers/promises";
import { observe } from "./observe.mjs";
import { asRead, read } from "./words.mjs";

export const PHONE = { width: 390, height: 844 };
export const LAPTOP = { width: 1280, height: 800 };

const WITHIN_MS = 15_000;
/** A page outside a call asks a server that was away again after at most 27 s (SIGNALLING_STEPS of the SDK). */
const ONLINE_WITHIN_MS = 45_000;
const LOOK_EVERY_MS = 50;
/** How long nothing must come for it to have stopped; a sound packet comes every 20 ms. */
const STILL_MS = 1_000;

/**
 * Lets `user` open their link in a browser, or in one of its contexts (a profile, with its own storage). `init` runs in its
 * pages before their own code, `route` may come between them and the network.
 */
export async function open(browser, server, user, { link = "", init, route, ...options } = {}) {
  const context = browser.newContext ? await browser.newContext({ viewport: LAPTOP, ...options }) : browser;
  if (init) await context.addInitScript(init);
  if (route) await route(context);
  return new Person(context, server, user).opens(await server.link(user, link));
}

export class Person {
  /** What the page threw. */
  errors = [];

  constructor(context, server, user) {
    Object.assign(this, { context, server, user });
  }

  async opens(url) {
    this.url = url;
    this.page = await this.context.newPage();
    this.page.setDefaultTimeout(WITHIN_MS);
    this.page.on("pageerror", (error) => this.errors.push(error));
    this.page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) this.errors.push(new Error(message.text()));
    });
    await this.page.addInitScript(observe);
    await this.page.goto(url);
    return this;
  }

  /** The plain address, without a link: as whom this browser remembers. */
  async opensWithoutLink() {
    return this.opens(this.server.url);
  }

  /** A further tab of the same person in the same browser. */
  async opensAnotherTab() {
    return new Person(this.context, this.server, this.user).opens(this.url);
  }

  find(id) {
    return this.page.getByTestId(id);
  }

  async findsEverybody() {
    await this.find("contacts").waitFor();
    return this;
  }

  tile(user) {
    return this.find(`tile-${user}`);
  }

  async calls(user, { video = true } = {}) {
    await this.find(`contact-${user}`).getByTestId(video ? "call" : "call-audio").click();
  }

  /** Presses the button of a video call even if a ring has just covered it. */
  async callsAtOnce(user) {
    await this.find(`contact-${user}`).getByTestId("call").evaluate((button) => button.click());
  }

  async reads(words) {
    await this.page.getByText(asRead(words)).first().waitFor();
  }

  async isRung() {
    await this.find("incoming").waitFor();
  }

  async isNotRung() {
    await this.find("incoming").waitFor({ state: "detached" });
  }

  async answers() {
    await this.find("accept").click();
  }

  async presses(id) {
    await this.find(id).click();
  }

  async isOnline() {
    await this.find("state").getByText("Online").waitFor({ timeout: ONLINE_WITHIN_MS });
  }

  /** The list of people says so, by itself. */
  async findsThatIs(words, user) {
    await this.find(`contact-${user}`).getByTestId("presence").getByText(asRead(words)).waitFor();
  }

  /** Does something to a member from the list of people in the call. */
  async asHost(action, user) {
    const member = this.find(`member-${user}`);
    if (!(await member.isVisible())) await this.presses("people");
    await member.getByTestId(action).click();
    if (action === "kick") await this.presses("confirm-yes");
  }

  async endsForAll() {
    if (!(await this.find("end-all").isVisible())) await this.presses("people");
    await this.presses("end-all");
    await this.presses("confirm-yes");
  }

  async invites(user) {
    await this.presses("invite");
    await this.find(`invite-${user}`).getByTestId("ring").click();
  }

  async hangsUp() {
    await this.presses("leave");
  }

  async isBackHome() {
    await this.find("contacts").waitFor();
  }

  /** Pictures of `user` are decoded and shown, from now on. */
  async sees(user) {
    this.looks = (this.looks ?? 0) + 1;
    await this.page.waitForFunction(showsPictures, { user, look: this.looks }, { polling: 50 });
  }

  async doesNotSee(user) {
    await this.tile(user).locator("video").waitFor({ state: "detached" });
  }

  /** Sound that is not silence is decoded, from now on. */
  async hears() {
    await this.rises("inbound-rtp", "audio", "totalAudioEnergy");
  }

  /** What is decoded is also played: no voice is muted or held back. */
  async plays() {
    await this.page.waitForFunction(() => {
      const voices = [...document.querySelectorAll("[data-testid=voice]")];
      return voices.length > 0 && voices.every(({ muted, paused, currentTime }) => !muted && !paused && currentTime > 0);
    });
  }

  /** One of the numbers that the browser keeps of its media, over all connections that stand. */
  total(type, kind, field) {
    return this.page.evaluate((of) => window.observed.total(...of), [type, kind, field]);
  }

  /** Waits until a number has risen above what it is now. */
  async rises(type, kind, field) {
    const before = await this.total(type, kind, field);
    await this.until(async () => (await this.total(type, kind, field)) > before, `${field} of ${kind} rises above ${before}`);
  }

  /** Waits until a number has stood still for a while. */
  async stops(type, kind, field) {
    let [last, since] = [Number.NaN, 0];
    const still = async () => {
      const now = await this.total(type, kind, field);
      if (now !== last) [last, since] = [now, performance.now()];
      return performance.now() - since > STILL_MS;
    };
    await this.until(still, `${field} of ${kind} stands still`);
  }

  /** Asks again and again, since the browser's statistics tell nobody when they change. */
  async until(holds, what, every_ms = LOOK_EVERY_MS, within_ms = WITHIN_MS) {
    const late = performance.now() + within_ms;
    while (!(await holds())) {
      if (performance.now() > late) throw new Error(`at ${this.user}'s page, not within ${within_ms} ms: ${what}`);
      await pause(every_ms);
    }
  }

  /** How many media connections this page has made. */
  connections() {
    return this.page.evaluate(() => window.observed.connections.length);
  }

  /** How often this page has begun to ring since it was opened. */
  rings() {
    return this.page.evaluate(() => window.observed.rings);
  }

  /** Keeps all words that an element comes to show from now on, however briefly. */
  async writesDown(id) {
    await this.page.evaluate((wanted) => {
      const words = new Set();
      window.writtenDown = words;
      const shown = () => document.querySelector(`[data-testid=${wanted}]`)?.textContent ?? "";
      let last = shown();
      const look = () => {
        if (shown() !== last) words.add((last = shown()));
      };
      new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
    }, id);
  }

  async wroteDown() {
    return (await this.page.evaluate(() => [...window.writtenDown])).map(read);
  }

  async reloads() {
    await this.page.reload();
  }

  async closes() {
    await this.page.close();
  }

  /** The page's process dies, and the tab with it. */
  async crashes() {
    const crashed = this.page.waitForEvent("crash");
    const session = await this.context.newCDPSession(this.page);
    session.send("Page.crash").catch(() => {});
    await crashed;
    await this.page.close();
  }

  /** Opens the same link again after the page was closed or has died. */
  async comesBack() {
    return this.opens(this.url);
  }
}

/** In the page: some pictures have been shown since this look began. */
function showsPictures({ user, look }) {
  const video = document.querySelector(`[data-testid=tile-${user}] video`);
  if (!video || video.videoWidth === 0) return false;
  if (video.look !== look) {
    Object.assign(video, { look, shown: 0 });
    const count = () => {
      if (video.look !== look) return;
      video.shown += 1;
      video.requestVideoFrameCallback(count);
    };
    video.requestVideoFrameCallback(count);
  }
  return video.shown > 5 && getComputedStyle(video).opacity === "1";
}

/** A call of two that both see. */
export async function connect(caller, callee, options) {
  await caller.calls(callee.user, options);
  // Who has hung up a moment ago may still be busy for the service.
  for (let again = 0; again < 3 && !(await ringsUnlessOver(caller, callee)); again++) await caller.presses("call-again");
  await callee.answers();
  await Promise.all([caller.sees(callee.user), callee.sees(caller.user)]);
}

async function ringsUnlessOver(caller, callee) {
  return (await firstOf({ rung: callee.find("incoming"), over: caller.find("call-again") })) === "rung";
}

/** The name of the element that is there first. */
function firstOf(elements) {
  return Promise.race(Object.entries(elements).map(([name, element]) => element.waitFor().then(() => name)));
}

/** Whatever the last test left, everybody is at the list of people again. */
export function everybodyHome(...people) {
  return Promise.all(people.map(({ page }) => page.waitForFunction(closeWhatIsOpen)));
}

/** In the page: takes the way out of whatever it shows; true once that is nothing but people. */
function closeWhatIsOpen() {
  const out = document.querySelector(["leave", "decline", "close-ended", "dismiss-missed"].map((id) => `[data-testid=${id}]`).join());
  out?.click();
  return !out && document.querySelector("[data-testid=contacts]") !== null;
}
