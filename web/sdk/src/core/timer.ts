/** The page's side of the timer worker; falls back to the page's own timers where no worker can be made. */

import type { TimerRequest } from "./timer.worker.ts";

export interface Timer {
  set(run: () => void, everyMs: number): number;
  clear(id: number): void;
}

let shared: Timer | undefined;

/** One worker serves every connection of the page. */
export function steadyTimer(): Timer {
  shared ??= workerTimer() ?? PAGE_TIMER;
  return shared;
}

/** One wait at a time, which a background tab does not stretch; a new one takes the place of the last. */
export class Wait {
  #cancel: (() => void) | undefined;

  get isOn(): boolean {
    return this.#cancel !== undefined;
  }

  start(waitMs: number, run: () => void): void {
    this.cancel();
    const timer = steadyTimer();
    const id = timer.set(() => {
      this.cancel();
      run();
    }, waitMs);
    this.#cancel = () => timer.clear(id);
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}

/** Timers driven by `worker`, which answers each tick with the timer's id. */
export function timerOver(worker: Pick<Worker, "postMessage" | "onmessage">): Timer {
  const runs = new Map<number, () => void>();
  let lastId = 0;
  const request = (request: TimerRequest) => worker.postMessage(request);
  worker.onmessage = ({ data }: MessageEvent<number>) => runs.get(data)?.();
  return {
    set(run, everyMs) {
      lastId += 1;
      runs.set(lastId, run);
      request({ type: "set", id: lastId, everyMs });
      return lastId;
    },
    clear(id) {
      runs.delete(id);
      request({ type: "clear", id });
    },
  };
}

function workerTimer(): Timer | undefined {
  if (typeof Worker === "undefined") return undefined;
  try {
    return timerOver(new Worker(new URL("./timer.worker.ts", import.meta.url), { type: "module" }));
  } catch {
    return undefined;
  }
}

const PAGE_TIMER: Timer = {
  set: (run, everyMs) => Number(setInterval(run, everyMs)),
  clear: (id) => clearInterval(id),
};
