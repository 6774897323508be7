// What the eye would object to, found by measuring: runs in the page, returns one line for each fault.

/** Where a person must never have to scroll to: the bar of a call, and whatever a dialog asks. */
const ALWAYS_IN_VIEW = ".controls button, dialog[open] button, [data-in-view] button";
const CONTROLS = "button, a[href]:not(.skip), input, select, textarea, [tabindex='0']";
/** Faces are not cut to ribbons: neither much narrower than an upright picture nor wider than a film. */
const TILE_RATIO = { min: 0.7, max: 1.95 };

const SETTINGS = { ALWAYS_IN_VIEW, CONTROLS, TILE_RATIO, TARGET_PX: 44 };

export async function faultsOf(page) {
  await drawn(page);
  return page.evaluate(findFaults, SETTINGS);
}

const PATIENCE_MS = 3_000;

/** The page has taken up its size: what watches sizes has been told, and drawn. */
export function drawn(page) {
  const frames = (patience_ms) =>
    new Promise((done) => {
      requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));
      // A browser on a machine that is very busy may stop to paint; what is measured is laid out all the same.
      setTimeout(done, patience_ms);
    });
  return page.evaluate(frames, PATIENCE_MS);
}

function findFaults({ ALWAYS_IN_VIEW, CONTROLS, TILE_RATIO, TARGET_PX }) {
  const root = document.documentElement;
  // As the screen first shows: what is scrolled lies under a header that stays.
  for (const element of [root, ...document.querySelectorAll("main, aside, div")]) element.scrollTop = 0;
  const view = { left: 0, top: 0, right: root.clientWidth, bottom: root.clientHeight };
  const within = document.querySelector("dialog:modal") ?? document;
  const faults = [];

  const describe = (element) => {
    const { localName, className, dataset, textContent } = element;
    const name = element.getAttribute("aria-label") ?? textContent.trim().slice(0, 40);
    return `${localName}${dataset.testid ? `#${dataset.testid}` : `.${String(className).split(" ").join(".")}`} "${name}"`;
  };
  const boxOf = (element) => element.getBoundingClientRect();
  const isSeen = (element) => {
    const { width, height } = boxOf(element);
    return width > 1 && height > 1 && element.checkVisibility({ visibilityProperty: true }) && !element.closest(".hidden, .skip");
  };
  const meet = (a, b) => ({
    left: Math.max(a.left, b.left),
    top: Math.max(a.top, b.top),
    right: Math.min(a.right, b.right),
    bottom: Math.min(a.bottom, b.bottom),
  });
  const reaches = ({ left, top, right, bottom }, by = 1) => right - left > by && bottom - top > by;
  const contains = (outer, inner) =>
    inner.left >= outer.left - 1 && inner.top >= outer.top - 1 && inner.right <= outer.right + 1 && inner.bottom <= outer.bottom + 1;
  const shown = (box) => `${[box.left, box.top, box.right, box.bottom].map(Math.round).join(" ")}`;
  const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX + getComputedStyle(element).overflowY);
  const clips = (element) => getComputedStyle(element).overflowX !== "visible" || getComputedStyle(element).overflowY !== "visible";
  const ancestors = (element) => {
    const list = [];
    // A modal dialog lies above the page: nothing around it cuts it.
    const top = element.closest("dialog:modal") ?? document.body;
    for (let each = element; each !== top && each.parentElement && each.parentElement !== document.body; each = each.parentElement) {
      list.push(each.parentElement);
    }
    return list;
  };
  /** What of a box can be seen now: scrolled out of the window or of a list is not. */
  const visiblePart = (element, box = boxOf(element)) =>
    [view, ...ancestors(element).filter(clips).map(boxOf)].reduce(meet, box);
  const seen = (selector, from = within) => [...from.querySelectorAll(selector)].filter(isSeen);
  const controls = seen(CONTROLS).filter((control) => control.localName !== "article");

  // The page itself.
  if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} px wide in ${root.clientWidth}`);
  if (document.querySelector(".stage") && root.scrollHeight > root.clientHeight) {
    faults.push(`the page is ${root.scrollHeight} px tall in ${root.clientHeight}`);
  }
  for (const element of seen("button, a, input, h1, h2, p, strong, dialog, aside, .tile")) {
    const box = boxOf(element);
    const scroller = ancestors(element).find(scrolls);
    const edge = scroller ? boxOf(scroller) : view;
    if (box.left < edge.left - 0.5 || box.right > edge.right + 0.5) faults.push(`beside the page: ${describe(element)} at ${shown(box)}`);
  }

  // Controls: in view, large enough, apart from each other, not covered.
  for (const element of seen(ALWAYS_IN_VIEW)) {
    if (!contains(visiblePart(element), boxOf(element))) faults.push(`out of sight: ${describe(element)} at ${shown(boxOf(element))}`);
  }
  for (const element of controls.filter((control) => !control.closest("p"))) {
    const { width, height } = boxOf(element);
    if (element.tabIndex === 0 && !element.matches("button, a, input, select, textarea")) continue;
    if (width < TARGET_PX - 0.5 || height < TARGET_PX - 0.5) {
      faults.push(`too small to hit: ${describe(element)} is ${Math.round(width)} × ${Math.round(height)}`);
    }
  }
  const parts = controls.map((control) => visiblePart(control));
  controls.forEach((one, i) => {
    for (let k = i + 1; k < controls.length; k += 1) {
      const other = controls[k];
      if (!reaches(meet(parts[i], parts[k])) || one.contains(other) || other.contains(one)) continue;
      faults.push(`overlap: ${describe(one)} and ${describe(other)}`);
    }
  });

  // Everything counts as covering, also what lets the pointer through.
  const solid = new CSSStyleSheet();
  solid.replaceSync("*, *::before, *::after { pointer-events: auto !important; } .tile::after, .skip { display: none; }");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, solid];
  const coveredAt = (element, x, y) => {
    const top = document.elementFromPoint(x, y);
    return top && !element.contains(top) && !top.contains(element) ? top : undefined;
  };
  const cover = (element, box) => {
    const part = visiblePart(element, box);
    if (!reaches(part, 2)) return undefined;
    const [width, height] = [part.right - part.left, part.bottom - part.top];
    for (const fx of [0.1, 0.5, 0.9]) {
      const by = coveredAt(element, part.left + width * fx, part.top + height * 0.5);
      if (by) return by;
    }
    return undefined;
  };
  for (const control of controls) {
    const by = cover(control, boxOf(control));
    if (by) faults.push(`covered: ${describe(control)} by ${describe(by)}`);
  }

  // Words: not cut without an ellipsis and the whole in a title, not covered.
  const toldWhole = (element) => element.closest("[title], [aria-label]") !== null;
  const shortens = (element) => {
    const { textOverflow, webkitLineClamp } = getComputedStyle(element);
    return textOverflow === "ellipsis" || webkitLineClamp !== "none";
  };
  const walker = document.createTreeWalker(within === document ? document.body : within, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !isSeen(element) || /SCRIPT|STYLE/.test(element.tagName)) continue;
    // Initials stand behind their person's picture.
    if (element.matches(".avatar")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    const chain = [element, ...ancestors(element)];
    const shortened = chain.find((each) => shortens(each) && (each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight + 1));
    if (shortened && !toldWhole(shortened)) faults.push(`shortened without its whole: "${node.data.slice(0, 40)}"`);
    const scroller = chain.find(scrolls);
    const cutter = chain.find((each) => clips(each) && !scrolls(each) && !shortens(each) && !contains(boxOf(each), box));
    if (cutter && !shortened && (!scroller || scroller.contains(cutter))) {
      faults.push(`cut: "${node.data.slice(0, 40)}" at ${shown(box)} by ${describe(cutter)} at ${shown(boxOf(cutter))}`);
    }
    const lines = [...range.getClientRects()].map((line) => meet(line, visiblePart(element)));
    const by = lines.map((line) => cover(element, line)).find(Boolean);
    // On a small screen the panel takes the room of the pictures.
    if (by && !(by.closest(".panel") && element.closest(".stage-main"))) faults.push(`covered: "${node.data.slice(0, 40)}" by ${describe(by)}`);
  }

  for (const element of seen("h1, h2, p, strong")) {
    const { webkitLineClamp, lineHeight } = getComputedStyle(element);
    const lines = Math.min(Number(webkitLineClamp), Math.round(element.scrollHeight / Number.parseFloat(lineHeight)));
    if (element.clientHeight < lines * Number.parseFloat(lineHeight) - 2) faults.push(`cut between its lines: ${describe(element)}`);
  }

  // Faces: their shape, and nothing over the middle of them.
  for (const tile of seen(".tile")) {
    const { left, top, width, height } = boxOf(tile);
    const ratio = width / height;
    if (ratio < TILE_RATIO.min || ratio > TILE_RATIO.max) faults.push(`a ribbon: ${describe(tile)} is ${Math.round(width)} × ${Math.round(height)}`);
    for (const [fx, fy] of [[0.5, 0.5], [0.35, 0.35], [0.65, 0.35], [0.35, 0.6], [0.65, 0.6]]) {
      const [x, y] = [left + width * fx, top + height * fy];
      const { right, bottom, ...from } = visiblePart(tile);
      const isInView = x > from.left && x < right && y > from.top && y < bottom;
      const hidden = within === document && isInView && coveredAt(tile, x, y);
      if (hidden && !hidden.closest(".panel")) faults.push(`a face is covered: ${describe(tile)} by ${describe(hidden)}`);
    }
  }
  document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== solid);
  return [...new Set(faults)];
}
