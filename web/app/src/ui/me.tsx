/** Who is signed in, and the way out, which asks first. */

import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";

export function Me() {
  const { model } = useApp();
  const [isOpen, setOpen] = useState(false);
  const name = model.name.value;
  return (
    <>
      <button type="button" class="me-button" data-testid="me" aria-haspopup="dialog" onClick={() => setOpen(true)}>
        <span class="hidden">{t("me.open", { name })}</span>
        <bdi class="me-name" aria-hidden="true">
          {name}
        </bdi>
        <Avatar user={model.user.value} name={name} />
      </button>
      {isOpen ? <Leaving close={() => setOpen(false)} /> : null}
    </>
  );
}

function Leaving({ close }: { close: () => void }) {
  const { model, entrance } = useApp();
  const dialog = useRef<HTMLDialogElement>(null);
  const tabs = useTabs();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    // Closing gives the focus back to where it was.
    return () => element?.close();
  }, []);
  return (
    <dialog ref={dialog} class="sheet" data-testid="me-dialog" aria-labelledby="me-title" onClose={close}>
      <h2 id="me-title">{t("me.title", { name: model.name.value })}</h2>
      <p>{t("me.stays")}</p>
      <p>{t("me.sign_out_why")}</p>
      {tabs > 1 ? <p data-testid="me-tabs">{t("me.tabs")}</p> : null}
      {tabs > 1 && model.busy_elsewhere.value ? <p data-testid="me-call">{t("me.call")}</p> : null}
      <div class="sheet-actions">
        <button type="button" class="button danger" data-testid="sign-out" onClick={() => entrance.signOut()}>
          {t("me.sign_out")}
        </button>
        <button type="button" class="button quiet" data-testid="stay" onClick={() => dialog.current?.close()}>
          {t("me.stay")}
        </button>
      </div>
    </dialog>
  );
}

function useTabs(): number {
  const { entrance } = useApp();
  const [tabs, setTabs] = useState(1);
  useEffect(() => void entrance.tabs().then(setTabs), [entrance]);
  return tabs;
}
