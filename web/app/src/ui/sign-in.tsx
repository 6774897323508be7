/** The screens before the terminal: whose page it is, signing in, what prevents it, open elsewhere. */

import type { ConvokeError, RememberedLogin } from "@convoke/sdk";
import type { ComponentChildren } from "preact";
import type { SignInState } from "../state/model.ts";
import { t } from "../texts/t.ts";
import { useApp, useSignIn } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Logo } from "./icons.tsx";

function PlainScreen({ title, children, id }: { title: string; children?: ComponentChildren; id: string }) {
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

export function SignInScreen({ state }: { state: Exclude<SignInState, { type: "in" }> }) {
  switch (state.type) {
    case "insecure":
      return <Insecure goTo={state.goTo} />;
    case "refused":
      return <Refused error={state.error} />;
    case "choose":
      return <Choose />;
    case "no_link":
      return <NoLink />;
    case "signed_out":
      return <SignedOut told={state.told} />;
    default:
      return <SigningIn error={state.type === "signing_in" ? state.error : undefined} />;
  }
}

export function SigningIn({ error }: { error: ConvokeError | undefined }) {
  return (
    <PlainScreen title={error ? t(error.text) : t("gate.signing_in")} id="signing-in">
      {error ? <p>{t(error.remedy)}</p> : null}
      <div class="pulse" aria-hidden="true" />
    </PlainScreen>
  );
}

function NoLink() {
  return (
    <PlainScreen title={t("gate.no_link")} id="no-link">
      <p>{t("gate.no_link_why")}</p>
    </PlainScreen>
  );
}

function Insecure({ goTo }: { goTo: string | undefined }) {
  return (
    <PlainScreen title={t("gate.insecure")} id="insecure">
      <p>{t("gate.insecure_why")}</p>
      {goTo ? (
        <>
          <a class="button primary" data-testid="go-secure" href={goTo}>
            {t("gate.insecure_go")}
          </a>
          <p>{t("gate.insecure_warns", { host: new URL(goTo).host })}</p>
        </>
      ) : (
        <p>{t("gate.insecure_nowhere")}</p>
      )}
    </PlainScreen>
  );
}

function Choose() {
  return (
    <PlainScreen title={t("gate.choose")} id="choose">
      <Remembered logins={useSignIn().model.logins.value} />
      <p>{t("gate.choose_other")}</p>
    </PlainScreen>
  );
}

function SignedOut({ told }: { told: boolean | undefined }) {
  return (
    <PlainScreen title={t("gate.signed_out")} id="signed-out">
      <p>{t("gate.signed_out_why")}</p>
      {told === false ? <p data-testid="not-told">{t("gate.signed_out_not_told")}</p> : null}
      <Others />
    </PlainScreen>
  );
}

export function Refused({ error }: { error: ConvokeError }) {
  return (
    <PlainScreen title={t(error.text)} id="refused">
      <p>{t(error.remedy)}</p>
      <Others />
    </PlainScreen>
  );
}

/** Those who need no link here, if there are any. */
function Others() {
  const { logins, user } = useSignIn().model;
  const others = logins.value.filter((login) => login.user !== user.value);
  if (others.length === 0) return null;
  return (
    <>
      <p>{t("gate.others")}</p>
      <Remembered logins={others} />
    </>
  );
}

function Remembered({ logins }: { logins: readonly RememberedLogin[] }) {
  const { signIn } = useSignIn();
  return (
    <ul class="rows remembered" data-testid="remembered">
      {logins.map(({ account, user, name }) => (
        <li key={account}>
          <button type="button" class="row" data-testid={`as-${user}`} onClick={() => signIn.signInAs(account)}>
            <Avatar user={user} name={name} />
            <span class="row-text">
              <strong title={name}>
                <bdi>{name}</bdi>
              </strong>
              {name === user ? null : <span>{user}</span>}
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

export function Elsewhere() {
  const { actions } = useApp();
  return (
    <PlainScreen title={t("gate.elsewhere")} id="elsewhere">
      <p>{t("gate.elsewhere_why")}</p>
      <button type="button" class="button primary" data-testid="use-here" onClick={() => actions.useHere()}>
        {t("gate.use_here")}
      </button>
    </PlainScreen>
  );
}
