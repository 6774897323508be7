/** The page: which screen is shown. Screens only render the model and pass on what a person does. */

import { createContext } from "preact";
import { useContext, useLayoutEffect, useRef } from "preact/hooks";
import type { Actions, Model } from "../state/model.ts";
import type { SignInActions } from "../state/sign-in.ts";
import { t } from "../texts/t.ts";
import { EndedScreen } from "./ended.tsx";
import { Home } from "./home.tsx";
import { IncomingDialog } from "./incoming.tsx";
import { Live } from "./notices.tsx";
import { Elsewhere, Refused, SignInScreen, SigningIn } from "./sign-in.tsx";
import { Stage } from "./stage.tsx";

/** What the screens before and after the sign-in share. */
export interface SignInProps {
  model: Model;
  signIn: SignInActions;
}

export interface App extends SignInProps {
  actions: Actions;
}

const SignInContext = createContext<SignInProps | undefined>(undefined);
const AppContext = createContext<App | undefined>(undefined);

export function useSignIn(): SignInProps {
  const signIn = useContext(SignInContext);
  if (!signIn) throw new Error("a screen stands outside of the page");
  return signIn;
}

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("a screen stands outside of the app");
  return app;
}

/** The whole page; without `actions` no user is signed in yet. */
export function Page({ model, signIn, actions }: SignInProps & { actions?: Actions }) {
  const state = model.signInState.value;
  return (
    <SignInContext.Provider value={{ model, signIn }}>
      <a class="skip" href="#main">
        {t("app.skip")}
      </a>
      {state.type !== "in" ? <SignInScreen state={state} /> : null}
      {state.type === "in" && actions ? <AppRoot model={model} signIn={signIn} actions={actions} /> : null}
    </SignInContext.Provider>
  );
}

function AppRoot(app: App) {
  return (
    <AppContext.Provider value={app}>
      <Screen />
      <IncomingDialog />
      <Live />
    </AppContext.Provider>
  );
}

/** Who comes out of a call goes on at the list of people: what had the focus is gone. */
function useFocusAfterCall(inCall: boolean): void {
  const before = useRef(inCall);
  useLayoutEffect(() => {
    if (before.current && !inCall) document.getElementById("people-title")?.focus();
    before.current = inCall;
  }, [inCall]);
}

function Screen() {
  const { model } = useApp();
  useFocusAfterCall(model.call.value !== undefined || model.ended.value !== undefined);
  const client = model.client.value;
  if (client.type === "refused") return <Refused error={client.error} />;
  if (client.type === "elsewhere") return <Elsewhere />;
  if (client.type === "idle") return <SigningIn error={undefined} />;
  if (client.type === "signing_in") return <SigningIn error={client.error} />;
  if (model.call.value) return <Stage call={model.call.value} />;
  if (model.ended.value) return <EndedScreen {...model.ended.value} />;
  return <Home />;
}
