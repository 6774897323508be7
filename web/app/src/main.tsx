/** The page: reads its link, makes the client, renders. MQTT.js is fetched beside the first paint, not before it. */

import "./styles/index.css";
import { createClient } from "@convoke/sdk";
import { render } from "preact";
import { Controller } from "./state/controller.ts";
import { watchKeys } from "./state/keyboard.ts";
import { readLink } from "./state/link.ts";
import { createModel } from "./state/model.ts";
import { Sounds } from "./state/sounds.ts";
import { followTitle } from "./state/title.ts";
import { AppRoot } from "./ui/app.tsx";

const link = readLink(location.hash);
history.replaceState(null, "", location.pathname + location.search);
addEventListener("hashchange", () => location.hash.includes("login=") && location.reload());

const model = createModel(link.secret !== undefined, link.speaker_off);
const mqtt = import("mqtt").then(({ default: { connect } }) => connect);
const client = createClient({ server: location.origin, secret: link.secret ?? "", mqtt: () => mqtt });
const controller = new Controller(model, client, new Sounds());

followTitle(model);
watchKeys(model, controller);
const root = document.getElementById("app");
if (root) render(<AppRoot model={model} actions={controller} />, root);
if (link.secret) controller.start();
