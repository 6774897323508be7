/** Events of the page and its network: it goes away or wakes up, and there may be another network. */

export interface PageHooks {
  /** The page goes away in this moment, or is suspended. */
  leaves(): void;
  /** It was kept for the way back, and is shown again. */
  wakes(): void;
  /** The device may have come to another network. */
  online(): void;
  offline(): void;
  /** The network may be another one, or the page is visible again: there is no reason to wait longer. */
  retryNow(): void;
}

/** For the life of the page; outside of pages there is nothing to watch. */
export function watchPage(hooks: PageHooks): void {
  globalThis.addEventListener?.("pagehide", () => hooks.leaves());
  globalThis.addEventListener?.("pageshow", ({ persisted }) => persisted && hooks.wakes());
  globalThis.addEventListener?.("online", () => hooks.online());
  globalThis.addEventListener?.("offline", () => hooks.offline());
  networkInformation()?.addEventListener("change", () => hooks.retryNow());
  globalThis.document?.addEventListener(
    "visibilitychange",
    () => document.visibilityState === "visible" && hooks.retryNow(),
  );
}

/** Of a browser that knows its network (Network Information API). */
function networkInformation(): EventTarget | undefined {
  return (globalThis.navigator as { connection?: EventTarget } | undefined)?.connection;
}
