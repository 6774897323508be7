/** The question before what cannot be undone. Escape means no; the focus goes back to where it was. */

import { useModal } from "./modal.ts";

export interface Question {
  title: string;
  detail: string;
  /** What the two buttons do, as verbs. */
  yes: string;
  no: string;
}

interface ConfirmProps extends Question {
  act: () => void;
  close: () => void;
}

export function Confirm({ title, detail, yes, no, act, close }: ConfirmProps) {
  const dialog = useModal(close);
  const confirm = () => {
    close();
    act();
  };
  return (
    <dialog
      ref={dialog}
      class="confirm"
      role="alertdialog"
      data-testid="confirm"
      aria-labelledby="confirm-title"
      aria-describedby="confirm-detail"
    >
      <h2 id="confirm-title" title={title}>
        {title}
      </h2>
      <p id="confirm-detail">{detail}</p>
      <div class="confirm-answers">
        <button type="button" class="button quiet" data-testid="confirm-no" onClick={close}>
          {no}
        </button>
        <button type="button" class="button danger" data-testid="confirm-yes" onClick={confirm}>
          {yes}
        </button>
      </div>
    </dialog>
  );
}
