import type { Outcome } from "@convoke/sdk";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useApp } from "./app.tsx";

/** The button that calls back has the focus when the notification of this missed call was pressed. */
export function useCallBackFocus({ invitation }: Outcome) {
  const { offered } = useApp().model;
  const button = useRef<HTMLButtonElement>(null);
  const isOffered = offered.value === invitation;
  useLayoutEffect(() => {
    if (!isOffered) return;
    button.current?.focus();
    offered.value = undefined;
  }, [isOffered, offered]);
  return button;
}
