/** Which screen is shown. Screens only render the model and pass on what a person does. */

import { createContext } from "preact";
import { useContext, useEffect, useRef } from "preact/hooks";
import type { Actions, Model } from "../state/model.ts";
import { t } from "../texts/t.ts";
import { EndedScreen } from "./ended.tsx";
import { Elsewhere, NoLink, Refused, SigningIn } from "./gate.tsx";
import { Home } from "./home.tsx";
import { IncomingDialog } from "./incoming.tsx";
import { Live, Notices } from "./notices.tsx";
import { Stage } from "./stage.tsx";

export interface App {
  model: Model;
  actions: Actions;
}

const AppContext = createContext<App | undefined>(undefined);

export function useApp(): App {
  const app = useContext(AppContext);
  if (!app) throw new Error("a screen stands outside of the app");
  return app;
}

export function AppRoot(app: App) {
  return (
    <AppContext.Provider value={app}>
      <a class="skip" href="#main">
        {t("app.skip")}
      </a>
      <Screen />
      <IncomingDialog />
      <HomeNotices />
      <Live />
    </AppContext.Provider>
  );
}

/** In a call notices stand among its banners, away from one's own picture and from buttons. */
function HomeNotices() {
  return useApp().model.call.value ? null : <Notices />;
}

/** Who comes out of a call goes on at the list of people: what had the focus is gone. */
function useFocusAfterCall(inCall: boolean): void {
  const before = useRef(inCall);
  useEffect(() => {
    if (before.current && !inCall) document.getElementById("people-title")?.focus();
    before.current = inCall;
  }, [inCall]);
}

function Screen() {
  const { model } = useApp();
  useFocusAfterCall(model.call.value !== undefined || model.ended.value !== undefined);
  const client = model.client.value;
  if (!model.has_link) return <NoLink />;
  if (client.is === "refused") return <Refused error={client.error} />;
  if (client.is === "elsewhere") return <Elsewhere />;
  if (client.is === "idle" || client.is === "signing_in") return <SigningIn />;
  if (model.call.value) return <Stage call={model.call.value} />;
  if (model.ended.value) return <EndedScreen {...model.ended.value} />;
  return <Home />;
}
