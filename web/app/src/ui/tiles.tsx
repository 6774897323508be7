/** The room that the tiles of a call share; they change their size with it. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { tileSize } from "../state/tiling.ts";

export function Tiles({ count, children }: { count: number; children: ComponentChildren }) {
  const room = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = room.current;
    if (!element) return;
    const share = () => {
      const gap = Number.parseFloat(getComputedStyle(element).columnGap) || 0;
      const { width, height, scrolls } = tileSize(count, element.getBoundingClientRect(), gap);
      element.classList.toggle("scrolls", scrolls);
      element.tabIndex = scrolls ? 0 : -1;
      element.style.setProperty("--tile-width", `${width}px`);
      element.style.setProperty("--tile-height", `${height}px`);
    };
    const watch = new ResizeObserver(share);
    watch.observe(element);
    share();
    return () => watch.disconnect();
  }, [count]);
  return (
    <div ref={room} class="grid" data-testid="grid">
      {children}
    </div>
  );
}
