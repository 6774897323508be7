// Measures in Chromium how long a call takes to heal, and how long the screen takes to say so: after the server was killed
// and started again, after a link carried nothing for a while, after a device came to another address; and how long the
// reason is withheld where media cannot connect at all. It prints a table.
//
//   node tests/healing/measure.mjs [--times 10] [--pairs 2] [--only kill-1,link-5,…]

import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { launch } from "../browser/chromium.mjs";
import { connect, everybodyHome, open } from "../browser/people.mjs";
import { Network, noNetwork } from "../network.mjs";
import { Server } from "../server.mjs";
import { record } from "./recorder.mjs";

const { values: given } = parseArgs({
  options: { times: { type: "string", default: "10" }, pairs: { type: "string", default: "2" }, only: { type: "string" } },
});

const CONTEXT = { ignoreHTTPSErrors: true, init: record };
/** A call stands for so long before something happens to it. */
const SETTLED_MS = 4_000;
const HEALED_WITHIN_MS = 90_000;
const LOOK_EVERY_MS = 20;
/** How long the other scenes last. */
const AWAY_MS = 20_000;

/**
 * What is done to a call: it `breaks` and `for_s` later `mends`, which ends when the way is there again; `cut_off` is who has no
 * server meanwhile.
 */
const BOTH = ["alice", "bob"];
const kill = { breaks: ({ server }) => server.kill(), mends: ({ server }) => server.run(), cut_off: BOTH };
const link = { breaks: ({ hosts }) => hosts.bob.drop(), mends: ({ hosts }) => hosts.bob.pass(), cut_off: ["bob"] };
const moved = {
  ...link,
  mends: ({ hosts }) => {
    hosts.bob.moves();
    hosts.bob.pass();
  },
};
const silent = { breaks: ({ hosts }) => hosts.server.drop(), mends: ({ hosts }) => hosts.server.pass(), cut_off: BOTH };

const seen = (way, for_s, words) => ({ ...way, measure: outage, for_s, words: `${words}, ${for_s} s` });

const SCENES = {
  "kill-1": seen(kill, 1, "server killed"),
  "kill-5": seen(kill, 5, "server killed"),
  "kill-20": seen(kill, 20, "server killed"),
  "kill-60": seen(kill, 60, "server killed"),
  "silent-20": seen(silent, 20, "server's packets dropped"),
  "link-5": seen(link, 5, "one page's packets dropped"),
  "link-20": seen(link, 20, "one page's packets dropped"),
  "moved-5": seen(moved, 5, "one page's packets dropped, then another address"),
  "moved-20": seen(moved, 20, "one page's packets dropped, then another address"),
  "home-kill": { ...kill, measure: atHome, words: "at home, server killed" },
  "home-silent": { ...silent, measure: atHome, words: "at home, server's packets dropped" },
  blocked: { measure: blocked, words: "no UDP at the callee" },
};

/** Two people, each in a browser at a host of their own, and their server. */
class Pair {
  static async make(network) {
    const pair = new Pair();
    pair.hosts = { server: network.host(), alice: network.host(), bob: network.host() };
    pair.server = await Server.start([], pair.hosts.server);
    pair.browsers = await Promise.all(["alice", "bob"].map((user) => launch({ host: pair.hosts[user] })));
    [pair.alice, pair.bob] = await Promise.all(
      ["alice", "bob"].map((user, n) => open(pair.browsers[n], pair.server, user, CONTEXT)),
    );
    await Promise.all(pair.people.map((person) => person.findsEverybody()));
    return pair;
  }

  get people() {
    return [this.alice, this.bob];
  }

  /** A call that has stood for a while. */
  async talks() {
    await everybodyHome(...this.people);
    await connect(this.alice, this.bob);
    await pause(SETTLED_MS);
  }

  async end() {
    await Promise.all((this.browsers ?? []).map((browser) => browser.close()));
    await this.server?.stop();
  }
}

const recorded = (person) => person.page.evaluate(() => window.recorded);
const never = Number.POSITIVE_INFINITY;

/** How long after `since_ms` something was first written down that `holds`. */
const delay = (written, since_ms, holds) => (written.find((each) => each.at > since_ms && holds(each))?.at ?? never) - since_ms;
const says = ({ words }) => words !== "";

/**
 * What the two pages showed of an outage, in ms: from its end until both had a new picture; from its beginning until all who
 * are cut off had words in a banner, and one page had words on a tile.
 */
async function outage(pair, { breaks, mends, for_s, cut_off }) {
  await pair.talks();
  const broken_ms = Date.now();
  await breaks(pair);
  await pause(broken_ms + 1_000 * for_s - Date.now());
  await mends(pair);
  const mended_ms = Date.now();
  await shown(pair, mended_ms);
  const pages = await Promise.all(pair.people.map(recorded));
  if (process.env.TRACE) trace(pages, broken_ms, mended_ms);
  const words = (where, of = pages) => of.map((page) => delay(page.words[where], broken_ms, says));
  return {
    picture_ms: Math.max(...pages.map(({ shown }) => (shown.find((at) => at > mended_ms) ?? never) - mended_ms)),
    banner_ms: Math.max(...words("banner", pages.filter((_, n) => cut_off.includes(pair.people[n].user)))),
    tile_ms: Math.min(...words("tile")),
    changes: Math.max(...pages.map((page) => page.words.banner.filter(({ at }) => at > broken_ms).length)),
  };
}

/** Everything that the pages showed since, in ms of the outage. */
function trace(pages, broken_ms, mended_ms) {
  console.log(`mended at ${mended_ms - broken_ms} ms`);
  pages.forEach(({ shown, words }, n) => {
    console.log(`  ${BOTH[n]}: a picture at ${(shown.find((at) => at > mended_ms) ?? never) - broken_ms} ms`);
    for (const [where, all] of Object.entries(words)) {
      for (const { at, words } of all) if (at > broken_ms) console.log(`    ${at - broken_ms} ms, ${where}: ${words}`);
    }
  });
}

/** Waits until both pages have shown a picture since then; who never does is told apart by its time. */
async function shown({ people }, since_ms) {
  const hasShown = ({ page }) => page.evaluate((since) => window.recorded.shown.at(-1) > since, since_ms);
  const late = since_ms + HEALED_WITHIN_MS;
  while (Date.now() < late && !(await Promise.all(people.map(hasShown))).every(Boolean)) await pause(LOOK_EVERY_MS);
}

/** Nobody is in a call: until both pages say in their header that the server is away, and since its return that it is there. */
async function atHome(pair, { breaks, mends }) {
  await everybodyHome(...pair.people);
  await Promise.all(pair.people.map((person) => person.isOnline()));
  await pause(SETTLED_MS);
  const broken_ms = Date.now();
  await breaks(pair);
  await pause(AWAY_MS);
  await mends(pair);
  const mended_ms = Date.now();
  const pages = await Promise.all(pair.people.map(recorded));
  const isOnline = (person) => () => person.find("state").getByText("Online").isVisible();
  await Promise.all(pair.people.map((person) => person.until(isOnline(person), "is online", LOOK_EVERY_MS, HEALED_WITHIN_MS)));
  const online_ms = Date.now() - mended_ms;
  return { header_ms: Math.max(...pages.map(({ words }) => delay(words.header, broken_ms, () => true))), online_ms };
}

/** No UDP gets to the callee: until its page gives a reason, how often that changes then, and until the caller's page says more. */
async function blocked(pair) {
  await everybodyHome(...pair.people);
  pair.hosts.bob.drop("udp");
  try {
    await pair.alice.calls("bob");
    await pair.bob.isRung();
    await pair.bob.answers();
    const answered_ms = Date.now();
    await pause(AWAY_MS);
    const [alice, bob] = await Promise.all(pair.people.map(recorded));
    return {
      reason_ms: delay(bob.words.banner, answered_ms, says),
      reasons: bob.words.banner.filter(({ at }) => at > answered_ms).length,
      other_ms: delay(alice.words.tile, answered_ms, ({ words }) => !/^(Joining…|Ringing…|Calling…|)$/.test(words)),
    };
  } finally {
    pair.hosts.bob.pass();
  }
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const seconds = (ms) => (Number.isFinite(ms) ? `${(ms / 1_000).toFixed(2)} s` : "never");
const show = (field, value) => (field.endsWith("_ms") ? seconds(value) : String(value));

/** The columns: a field of what was measured, and its words. */
const COLUMNS = {
  picture_ms: "until both have a new picture",
  banner_ms: "all cut off have a banner",
  tile_ms: "words on a tile",
  changes: "changes of a banner",
  header_ms: "both headers say so",
  online_ms: "both are online again",
  reason_ms: "the reason is on the screen",
  reasons: "changes of the reason",
  other_ms: "the other side is told",
};

function table(results) {
  const used = Object.keys(COLUMNS).filter((field) => [...results.values()].flat().some((each) => field in each));
  console.log(`\n| median (worst) | times | ${used.map((field) => COLUMNS[field]).join(" | ")} |`);
  console.log(`|---|---|${used.map(() => "---|").join("")}`);
  for (const [name, measured] of results) {
    const cells = used.map((field) => {
      const values = measured.map((each) => each[field]).filter((value) => value !== undefined);
      return values.length === 0 ? "" : `${show(field, median(values))} (${show(field, Math.max(...values))})`;
    });
    console.log(`| ${SCENES[name].words} | ${measured.length} | ${cells.join(" | ")} |`);
  }
}

if (noNetwork) throw new Error(noNetwork);
const names = given.only?.split(",") ?? Object.keys(SCENES);
const results = new Map(names.map((name) => [name, []]));
const tasks = names.flatMap((name) => Array.from({ length: Number(given.times) }, () => name));
const network = new Network();

/** One scene after another; a pair with which something goes wrong is replaced. */
async function work() {
  let pair = await Pair.make(network);
  for (let name = tasks.shift(); name; name = tasks.shift()) {
    const { measure, words } = SCENES[name];
    try {
      const measured = await measure(pair, SCENES[name]);
      results.get(name).push(measured);
      console.log(`${words}: ${Object.entries(measured).map(([field, value]) => `${field.replace("_ms", "")} ${show(field, value)}`).join(", ")}`);
    } catch (error) {
      console.log(`${words}: not measured: ${error.message}`);
      await pair.end();
      pair = await Pair.make(network);
    }
  }
  await pair.end();
}

try {
  await Promise.all(Array.from({ length: Number(given.pairs) }, work));
} finally {
  table(results);
  network.remove();
}
