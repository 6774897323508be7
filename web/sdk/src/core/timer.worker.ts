/** Timers that a background tab does not slow down: the browser throttles a page's own, and keep-alive would fail. */

interface Order {
  set?: { id: number; every_ms: number };
  clear?: number;
}

const running = new Map<number, number>();

self.onmessage = ({ data }: MessageEvent<Order>) => {
  if (data.set) {
    const { id, every_ms } = data.set;
    running.set(id, Number(setInterval(() => self.postMessage(id), every_ms)));
  }
  if (data.clear !== undefined) {
    clearInterval(running.get(data.clear));
    running.delete(data.clear);
  }
};
