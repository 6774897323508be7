// Runs in a page before its own code: writes down when a picture of another user was shown, and which words came up when,
// apart for banners, tiles and the header.

export function record() {
  const WORDS = { banner: "[data-testid^=banner-] p", tile: "[data-testid^=tile-] .tile-state", header: "[data-testid=state]" };
  const recorded = { shown: [], words: { banner: [], tile: [], header: [] } };
  window.recorded = recorded;

  const watched = new WeakSet();
  function watch(video) {
    watched.add(video);
    const seen = () => {
      if (video.checkVisibility({ opacityProperty: true })) recorded.shown.push(Date.now());
      video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
  }

  function look() {
    for (const video of document.querySelectorAll("[data-testid^=tile-] video")) if (!watched.has(video)) watch(video);
    for (const [where, selector] of Object.entries(WORDS)) {
      const words = [...document.querySelectorAll(selector)].map((element) => element.textContent).join(" | ");
      const all = recorded.words[where];
      if (words !== (all.at(-1)?.words ?? "")) all.push({ at: Date.now(), words });
    }
  }
  new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
}
