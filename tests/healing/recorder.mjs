// Runs in a page before its own code: writes down when a picture of somebody else was shown, and when which words came up.

export function record() {
  const WORDS = "[data-testid^=banner-] p, [data-testid=state], .tile-state";
  const recorded = { shown: [], words: [] };
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

  let last = "";
  function look() {
    for (const video of document.querySelectorAll("[data-testid^=tile-] video")) if (!watched.has(video)) watch(video);
    const words = [...document.querySelectorAll(WORDS)].map((element) => element.textContent).join(" | ");
    if (words !== last) recorded.words.push({ at: Date.now(), words });
    last = words;
  }
  new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
}
