/**
 * A native dialog above the page for as long as it is rendered; then the focus goes back to where it was.
 *
 * Whatever moves the focus does so as it is rendered, not a frame later: a quick person has moved it on by then.
 */

import { useLayoutEffect, useRef } from "preact/hooks";

/** `closed`: the browser has closed it, by Escape or otherwise, and not this page by rendering it no more. */
export function useModal(closed: () => void) {
  const dialog = useRef<HTMLDialogElement>(null);
  const latest = useRef(closed);
  latest.current = closed;
  useLayoutEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    const tell = () => latest.current();
    element?.addEventListener("close", tell);
    element?.showModal();
    return () => {
      // The event comes later, when another dialog may be open already that it does not mean.
      element?.removeEventListener("close", tell);
      element?.close();
      // A dialog that has left the page does not return the focus by itself.
      if (before instanceof HTMLElement && document.activeElement === document.body) before.focus();
    };
  }, []);
  return dialog;
}
