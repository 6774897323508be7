/** Timers that a background tab does not slow down: the browser throttles a page's own, and keep-alive would fail. */

/** What a page asks of the worker, which answers each tick with the timer's id. */
export type TimerRequest = { type: "set"; id: number; everyMs: number } | { type: "clear"; id: number };

const running = new Map<number, number>();

self.onmessage = ({ data }: MessageEvent<TimerRequest>) => {
  if (data.type === "clear") {
    clearInterval(running.get(data.id));
    running.delete(data.id);
  } else {
    running.set(data.id, Number(setInterval(() => self.postMessage(data.id), data.everyMs)));
  }
};
