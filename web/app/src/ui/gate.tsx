/** What stands before the terminal: signing in, no link, a link that is not valid, open elsewhere. */

import type { ConvokeError } from "@convoke/sdk";
import type { ComponentChildren } from "preact";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Logo } from "./icons.tsx";

function Gate({ title, children, id }: { title: string; children?: ComponentChildren; id: string }) {
  return (
    <main id="main" class="gate" data-testid={id}>
      <div class="gate-card">
        <Logo />
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}

export function SigningIn() {
  const { client } = useApp().model;
  const error = client.value.is === "signing_in" ? client.value.error : undefined;
  return (
    <Gate title={error ? t(error.text) : t("gate.signing_in")} id="signing-in">
      {error ? <p>{t(error.remedy)}</p> : null}
      <div class="pulse" aria-hidden="true" />
    </Gate>
  );
}

export function NoLink() {
  return (
    <Gate title={t("gate.no_link")} id="no-link">
      <p>{t("gate.no_link_why")}</p>
    </Gate>
  );
}

export function Refused({ error }: { error: ConvokeError }) {
  return (
    <Gate title={t(error.text)} id="refused">
      <p>{t(error.remedy)}</p>
    </Gate>
  );
}

export function Elsewhere() {
  const { actions } = useApp();
  return (
    <Gate title={t("gate.elsewhere")} id="elsewhere">
      <p>{t("gate.elsewhere_why")}</p>
      <button type="button" class="button primary" data-testid="use-here" onClick={() => actions.useHere()}>
        {t("gate.use_here")}
      </button>
    </Gate>
  );
}
