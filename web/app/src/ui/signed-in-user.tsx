/** The signed-in user, and the sign-out, which asks first. */

import { useState } from "preact/hooks";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Confirm } from "./confirm.tsx";

export function SignedInUser() {
  const { model, signIn } = useApp();
  /** How many tabs a sign-out ends; undefined while the question is not shown. */
  const [tabs, setTabs] = useState<number>();
  const name = model.name.value;
  const open = () => void signIn.tabs().then(setTabs);
  return (
    <>
      <button type="button" class="me-button" data-testid="me" aria-haspopup="dialog" title={name} onClick={open}>
        <span class="hidden">{t("me.open", { name })}</span>
        <bdi class="me-name" aria-hidden="true">
          {name}
        </bdi>
        <Avatar user={model.user.value} name={name} />
      </button>
      {tabs === undefined ? null : (
        <Confirm
          title={t("me.title", { name })}
          detail={consequences(tabs, model.busyElsewhere.value)}
          yes={t("me.sign_out")}
          no={t("me.stay")}
          act={() => signIn.signOut()}
          close={() => setTabs(undefined)}
        />
      )}
    </>
  );
}

function consequences(tabs: number, inCall: boolean): string {
  const words = [t("me.stays"), t("me.sign_out_why")];
  if (tabs > 1) words.push(t("me.tabs"));
  if (tabs > 1 && inCall) words.push(t("me.call"));
  return words.join(" ");
}
