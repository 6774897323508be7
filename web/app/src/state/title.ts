/** The title of the tab. It rings too, for a person who looks at another tab. */

import { effect } from "@preact/signals";
import { t } from "../texts/t.ts";
import type { Model } from "./model.ts";

const BLINK_MS = 1_000;

export function followTitle(model: Model): void {
  let timer: ReturnType<typeof setInterval> | undefined;
  effect(() => {
    clearInterval(timer);
    const ringing = model.ringing.value[0];
    const quiet = model.call.value ? t("title.call") : t("app.name");
    document.title = ringing ? t("title.rings", { name: ringing.state.from?.name ?? "" }) : quiet;
    if (!ringing) return;
    const loud = document.title;
    timer = setInterval(() => {
      document.title = document.title === loud ? quiet : loud;
    }, BLINK_MS);
  });
}
