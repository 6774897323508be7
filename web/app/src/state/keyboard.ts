/** Keys of a call: M microphone, V camera, P people, I invite, Esc closes the panel. Off while text is being written. */

import type { Actions, Model } from "./model.ts";
import { isTalking } from "./people-in-call.ts";

export function watchKeys(model: Model, actions: Actions, target: Pick<Document, "addEventListener"> = document): void {
  target.addEventListener("keydown", (event) => {
    const { key, target: focused } = event as KeyboardEvent;
    if (!model.call.value || isModified(event as KeyboardEvent) || writes(focused) || isAsked(model, focused)) return;
    const action = actionOf(key, model, actions);
    if (!action) return;
    (event as KeyboardEvent).preventDefault();
    action();
  });
}

function actionOf(key: string, model: Model, actions: Actions): (() => void) | undefined {
  const panel = (name: "people" | "invite") => () => actions.panel(model.panel.value === name ? undefined : name);
  switch (key.toLowerCase()) {
    case "m":
      return () => actions.toggleMicrophone();
    case "v":
      return () => actions.toggleCamera();
    case "p":
      return panel("people");
    case "i":
      return panel("invite");
    case "escape":
      return model.panel.value ? () => actions.panel(undefined) : undefined;
    default:
      return undefined;
  }
}

function isModified({ ctrlKey, metaKey, altKey, repeat }: KeyboardEvent): boolean {
  return ctrlKey || metaKey || altKey || repeat;
}

/** A ring or a question has the keys to itself. */
function isAsked(model: Model, target: EventTarget | null): boolean {
  const isRung = model.ringing.value.length > 0 && !isTalking(model.call.value);
  return isRung || Boolean((target as Partial<Element> | null)?.closest?.("dialog"));
}

function writes(target: EventTarget | null): boolean {
  const element = target as Partial<HTMLElement> | null;
  return element?.isContentEditable === true || /^(INPUT|TEXTAREA|SELECT)$/.test(element?.tagName ?? "");
}
