// Holds a page against what every screen must keep: nothing cut, covered or out of sight, nothing that axe objects to, and
// every control within reach of the Tab key.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { faultsOf } from "./geometry.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export async function inspect(page, screen, { byAxe = true } = {}) {
  assert.deepEqual(await faultsOf(page), [], `the shape of ${screen}`);
  if (byAxe) assert.deepEqual(await objections(page), [], `axe objects to ${screen}`);
  const { controls, missed, unmarked } = await reachByTab(page);
  assert.deepEqual(missed, [], `the Tab key does not reach on ${screen}`);
  assert.deepEqual(unmarked, [], `nothing shows where the keyboard is on ${screen}`);
  return controls;
}

/** What axe says, by all its rules or by those that are named. */
export async function objections(page, rules) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate((only) => window.axe.run(document, only ? { runOnly: only } : {}), rules);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
}

/** Presses Tab until the focus has been everywhere, and compares with the controls that there are. */
export async function reachByTab(page) {
  const controls = await page.evaluate(listControls);
  const [reached, unmarked] = [new Set(), new Set()];
  // Focus may start anywhere, and passes through the browser's own bar once around.
  for (let presses = 0; presses < 2 * controls.length + 4 && reached.size < controls.length; presses += 1) {
    await page.keyboard.press("Tab");
    const { label, marked } = await page.evaluate(focused);
    if (label === undefined) continue;
    reached.add(label);
    if (!marked) unmarked.add(label);
  }
  return { controls, missed: controls.filter((label) => !reached.has(label)), unmarked: [...unmarked] };
}

/** In the page: every control that can be used now; behind a modal dialog nothing can. */
function listControls() {
  window.labelOf = (element) => {
    const words = element.getAttribute("aria-label") ?? element.textContent.trim();
    const name = words.replace(/[\u2066-\u2069]/g, "");
    return `${element.localName}#${element.dataset.testid ?? ""} ${name}`;
  };
  const within = document.querySelector("dialog:modal") ?? document;
  const all = within.querySelectorAll("button, a[href], input, select, textarea, [tabindex='0']");
  return [...all].filter((element) => element.checkVisibility() && !element.disabled).map(window.labelOf);
}

function focused() {
  const element = document.activeElement;
  if (!element || element === document.body || element.tabIndex < 0) return {};
  const { outlineStyle, boxShadow } = getComputedStyle(element);
  return { label: window.labelOf(element), marked: outlineStyle !== "none" || boxShadow !== "none" };
}
