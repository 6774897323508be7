/** The small buttons of rows, cards and banners: one word to read, and to a screen reader also whom it is about. */

import type { Ref } from "preact";
import { t } from "../texts/t.ts";
import { Close } from "./icons.tsx";

interface SmallButtonProps {
  id: string;
  words: string;
  /** The same with the name of whom it is about. */
  named?: string;
  kind?: "primary" | "destroys";
  /** It has been pressed already. */
  waits?: boolean;
  press: () => void;
  element?: Ref<HTMLButtonElement>;
}

export function SmallButton({ id, words, named, kind, waits, press, element }: SmallButtonProps) {
  return (
    <button
      type="button"
      class={`button small ${kind ?? ""}`}
      ref={element}
      data-testid={id}
      aria-label={named}
      aria-disabled={waits}
      onClick={() => waits || press()}
    >
      {words}
    </button>
  );
}

interface MissedButtonsProps {
  name: string;
  callBack: () => void;
  /** Test id of the button that dismisses. */
  dismissId: string;
  dismiss: () => void;
  element: Ref<HTMLButtonElement>;
}

/** What can be done about a call that was missed. */
export function MissedButtons({ name, callBack, dismissId, dismiss, element }: MissedButtonsProps) {
  return (
    <>
      <SmallButton
        id="call-back"
        words={t("missed.call_back_short")}
        named={t("missed.call_back", { name })}
        press={callBack}
        element={element}
      />
      <button
        type="button"
        class="icon-button bare"
        data-testid={dismissId}
        aria-label={t("missed.dismiss", { name })}
        onClick={dismiss}
      >
        <Close />
      </button>
    </>
  );
}
