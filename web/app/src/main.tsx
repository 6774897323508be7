/**
 * The page: reads its link, signs in, creates the client, renders. MQTT.js is fetched beside the first paint, not
 * before it.
 */

import "./styles/index.css";
import { createClient, type Login } from "@convoke/sdk";
import { render } from "preact";
import { Controller } from "./state/controller.ts";
import { watchKeys } from "./state/keyboard.ts";
import { readLink } from "./state/link.ts";
import { type Actions, createModel } from "./state/model.ts";
import { SignIn } from "./state/sign-in.ts";
import { Sounds } from "./state/sounds.ts";
import { followTitle } from "./state/title.ts";
import { Page } from "./ui/app.tsx";

const link = readLink(location.hash);
addEventListener("hashchange", () => location.hash.includes("login=") && location.reload());

const model = createModel(link.speakerOff);
const mqtt = import("mqtt").then(({ default: { connect } }) => connect);
const root = document.getElementById("app");
let leave = () => {};

const show = (actions?: Actions) => root && render(<Page model={model} signIn={signIn} actions={actions} />, root);

function enter(login: Login): void {
  const client = createClient({ login, mqtt: () => mqtt });
  const controller = new Controller(model, client, new Sounds());
  watchKeys(model, controller);
  leave = () => client.disconnect();
  show(controller);
  controller.start();
}

const signIn = new SignIn(model, enter, () => leave());
followTitle(model);
show();
// In the address bar the secret would be seen in every screen that is shared.
void signIn.start(link.secret, () => history.replaceState(null, "", location.pathname + location.search));
