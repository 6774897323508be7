/** Shows the story that the address names: `?story=in-call`. Without one, a list. */

import "../src/styles/index.css";
import { render } from "preact";
import type { Actions } from "../src/state/model.ts";
import type { SignInActions } from "../src/state/sign-in.ts";
import { Page } from "../src/ui/app.tsx";
import { presses, stories } from "./fixtures.ts";

const nothing = new Proxy({}, { get: (_, name) => (name === "nowMs" ? Date.now : () => {}) }) as Actions;
const outside: SignInActions = { signInAs() {}, signOut() {}, tabs: async () => 2 };
const name = new URLSearchParams(location.search).get("story") ?? "";
const story = stories[name];
const root = document.getElementById("app");

function press(id: string): void {
  document.querySelector<HTMLElement>(`[data-testid=${id}]`)?.click();
}

function List() {
  return (
    <ul>
      {Object.keys(stories).map((name) => (
        <li key={name}>
          <a href={`?story=${name}`}>{name}</a>
        </li>
      ))}
    </ul>
  );
}

if (root) render(story ? <Page model={story()} actions={nothing} signIn={outside} /> : <List />, root);
for (const id of presses[name] ?? []) requestAnimationFrame(() => press(id));
