// The measuring of screens is shown to be able to fail: one page for each fault, and one without.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./chromium.mjs";
import { faultsOf } from "./geometry.mjs";

const STYLE = `<!doctype html><style>
  * { box-sizing: border-box } body { margin: 0; font: 16px sans-serif } p, h1 { margin: 0 }
  button { width: 80px; height: 48px; padding: 0; border: 0 }
</style>`;
let browser, page;

before(async () => {
  browser = await launch();
  page = await browser.newPage({ viewport: { width: 320, height: 640 } });
});

after(() => browser?.close());

async function faults(html) {
  await page.setContent(STYLE + html);
  return faultsOf(page);
}

const tile = (width, height, inner = "") =>
  `<article class="tile" aria-label="Bob" style="position:relative;width:${width}px;height:${height}px">${inner}</article>`;

test("a screen that keeps its shape has no faults", async () => {
  const bar = `<nav class="controls"><button>Mute</button><button>Leave</button></nav>`;
  const long = `<p title="A long name" style="width:40px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap">A long name</p>`;
  assert.deepEqual(await faults(`<main><h1>In a call</h1>${long}${tile(240, 180)}</main>${bar}`), []);
});

const FAULTY = {
  "a page that is wider than its window": [`<div style="width:400px;height:1px"></div>`, /the page is 400 px wide in 320/],
  "a call that is one pixel too tall": [`<div class="stage" style="height:641px"></div>`, /the page is 641 px tall/],
  "a button beside the page": [`<div style="overflow:hidden"><button style="margin-left:300px">Call</button></div>`, /beside the page: button/],
  "a way out of the call that one must scroll to": [
    `<nav class="controls" style="margin-top:620px"><button>Leave</button></nav>`,
    /out of sight: button.*"Leave"/,
  ],
  "an answer to a ring that one must scroll to": [
    `<dialog open style="height:60px;overflow:auto"><p style="height:50px">Alice calls</p><button>Decline</button></dialog>`,
    /out of sight: button.*"Decline"/,
  ],
  "a button that a finger misses": [`<button style="width:43px">Mute</button>`, /too small to hit.*43 × 48/],
  "buttons that overlap": [`<button>Leave</button><button style="margin-left:-20px">End</button>`, /overlap: .*Leave.*End/],
  "a button under a notice that lets the pointer through": [
    `<button>Leave</button><p style="position:absolute;top:0;left:0;width:200px;height:40px;pointer-events:none">Bob joined.</p>`,
    /covered: button.*"Leave" by p/,
  ],
  "words under a notice": [
    `<p>Ringing…</p><p style="position:absolute;top:0;left:0;width:200px;height:20px;background:#fff">Bob joined.</p>`,
    /covered: "Ringing…" by p/,
  ],
  "words that are cut": [`<div style="width:60px;overflow:hidden;white-space:nowrap"><p style="width:200px">The connection is lost</p></div>`, /cut: "The connection/],
  "words that are cut below": [`<div style="height:10px;overflow:hidden"><p>Ringing…</p></div>`, /cut: "Ringing…"/],
  "a name in short without the whole": [
    `<p style="width:40px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap">A long name</p>`,
    /shortened without its whole: "A long name"/,
  ],
  "a name that is cut between its lines": [
    `<h2 title="x" style="display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:3;overflow:hidden;width:80px;height:30px;line-height:20px">
      A name that takes three lines</h2>`,
    /cut between its lines: h2/,
  ],
  "a face that is a ribbon": [tile(100, 300), /a ribbon: article.*100 × 300/],
  "a face under a banner": [
    `${tile(240, 180)}<p style="position:absolute;top:60px;left:0;width:240px;height:60px">Connection lost</p>`,
    /a face is covered: article.*"Bob" by p/,
  ],
};

for (const [what, [html, words]] of Object.entries(FAULTY)) {
  test(`${what} is found`, async () => {
    const found = await faults(html);
    assert.ok(found.some((fault) => words.test(fault)), `found: ${found.join("; ")}`);
  });
}
