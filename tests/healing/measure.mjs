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

/** What is done to a call: `breaks` until, `for_s` later, `mends`, which is over when the way is there again. */
const kill = { breaks: ({ server }) => server.kill(), mends: ({ server }) => server.run() };
const link = { breaks: ({ hosts }) => hosts.bob.drop(), mends: ({ hosts }) => hosts.bob.pass() };
const moved = {
  breaks: link.breaks,
  mends: ({ hosts }) => {
    hosts.bob.moves();
    hosts.bob.pass();
  },
};
const silent = { breaks: ({ hosts }) => hosts.server.drop(), mends: ({ hosts }) => hosts.server.pass() };

const OUTAGES = {
  "kill-1": { ...kill, for_s: 1, words: "server killed, 1 s" },
  "kill-5": { ...kill, for_s: 5, words: "server killed, 5 s" },
  "kill-20": { ...kill, for_s: 20, words: "server killed, 20 s" },
  "kill-60": { ...kill, for_s: 60, words: "server killed, 60 s" },
  "silent-20": { ...silent, for_s: 20, words: "server silent, 20 s" },
  "link-5": { ...link, for_s: 5, words: "one link silent, 5 s" },
  "link-20": { ...link, for_s: 20, words: "one link silent, 20 s" },
  "moved-5": { ...moved, for_s: 5, words: "one at another address after 5 s" },
  "moved-20": { ...moved, for_s: 20, words: "one at another address after 20 s" },
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
const firstAfter = (times, when_ms) => times.find((at) => at > when_ms);

/** What each page showed of an outage, in ms: since it began until words, since it was over until a picture. */
async function outage(pair, { breaks, mends, for_s }) {
  await pair.talks();
  const broken_ms = Date.now();
  await breaks(pair);
  await pause(broken_ms + 1_000 * for_s - Date.now());
  await mends(pair);
  const mended_ms = Date.now();
  await shown(pair, mended_ms);
  const pages = await Promise.all(pair.people.map(recorded));
  return {
    picture_ms: Math.max(...pages.map(({ shown }) => (firstAfter(shown, mended_ms) ?? Number.POSITIVE_INFINITY) - mended_ms)),
    words_ms: Math.max(...pages.map(({ words }) => (firstAfter(words.map(({ at }) => at), broken_ms) ?? Number.NaN) - broken_ms)),
    changes: Math.max(...pages.map(({ words }) => words.filter(({ at }) => at > broken_ms).length)),
  };
}

/** Waits until both pages have shown a picture since then; who never does is told apart by its time. */
async function shown({ people }, since_ms) {
  const hasShown = ({ page }) => page.evaluate((since) => window.recorded.shown.at(-1) > since, since_ms);
  const late = since_ms + HEALED_WITHIN_MS;
  while (Date.now() < late && !(await Promise.all(people.map(hasShown))).every(Boolean)) await pause(LOOK_EVERY_MS);
}

/** A callee to whom no UDP gets: until its page gives a reason, and until the caller's page has other words for it than before. */
async function blocked(pair) {
  await everybodyHome(...pair.people);
  pair.hosts.bob.drop("udp");
  try {
    await pair.alice.calls("bob");
    await pair.bob.isRung();
    await pair.bob.answers();
    const answered_ms = Date.now();
    await pause(20_000);
    const [alice, bob] = await Promise.all(pair.people.map(recorded));
    const since = ({ words }) => words.filter(({ at }) => at > answered_ms).map(({ at, words }) => `${at - answered_ms} ms: ${words}`);
    return { alice: since(alice), bob: since(bob) };
  } finally {
    pair.hosts.bob.pass();
    await everybodyHome(...pair.people);
  }
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const seconds = (ms) => (Number.isFinite(ms) ? (ms / 1_000).toFixed(2) : "never").padStart(6);

function table(results) {
  console.log("\n| outage | times | picture: median s | worst s | words: median s | worst s | changes of words: most |");
  console.log("|---|---|---|---|---|---|---|");
  for (const [name, measured] of results) {
    const of = (field) => measured.map((each) => each[field]);
    const both = (field) => `${seconds(median(of(field)))} | ${seconds(Math.max(...of(field)))}`;
    console.log(`| ${OUTAGES[name].words} | ${measured.length} | ${both("picture_ms")} | ${both("words_ms")} | ${Math.max(...of("changes"))} |`);
  }
}

if (noNetwork) throw new Error(noNetwork);
const names = given.only?.split(",") ?? [...Object.keys(OUTAGES), "blocked"];
const results = new Map(names.filter((name) => name in OUTAGES).map((name) => [name, []]));
const tasks = names.flatMap((name) => Array.from({ length: Number(given.times) }, () => name));
const network = new Network();

/** One pair after another of its tasks; a pair that something goes wrong with is replaced. */
async function work() {
  let pair = await Pair.make(network);
  for (let name = tasks.shift(); name; name = tasks.shift()) {
    try {
      if (name === "blocked") console.log(JSON.stringify(await blocked(pair), null, 1));
      else {
        const measured = await outage(pair, OUTAGES[name]);
        results.get(name).push(measured);
        console.log(`${OUTAGES[name].words}: picture ${seconds(measured.picture_ms)} s, words ${seconds(measured.words_ms)} s, ${measured.changes} changes`);
      }
    } catch (error) {
      console.log(`${name}: not measured: ${error.message}`);
      await pair.end();
      pair = await Pair.make(network);
    }
  }
  await pair.end();
}

try {
  await Promise.all(Array.from({ length: Number(given.pairs) }, work));
  table(results);
} finally {
  network.remove();
}
