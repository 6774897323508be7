/** The screen that says how a call from here ended, until it is closed. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { calleeOf, endWords } from "../state/end-words.ts";
import type { Ended } from "../state/model.ts";
import { nameOf } from "../state/user-name.ts";
import { t } from "../texts/t.ts";
import { useApp } from "./app.tsx";
import { Avatar } from "./avatar.tsx";
import { Logo } from "./icons.tsx";

export function EndedScreen({ state }: Ended) {
  const { model, actions } = useApp();
  const contacts = model.contacts.value;
  const { title, detail } = endWords(state, contacts);
  const user = calleeOf(state);
  const heading = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => heading.current?.focus(), []);
  return (
    <main id="main" class="gate" data-testid="ended">
      <div class="gate-card">
        {user ? <Avatar user={user} name={nameOf(user, state, contacts)} size="large" /> : <Logo />}
        <h1 ref={heading} class="end-title" tabIndex={-1} title={title} data-testid="end-title">
          {title}
        </h1>
        {detail ? <p>{detail}</p> : null}
        <div class="gate-actions">
          {user ? (
            <button type="button" class="button primary" data-testid="call-again" onClick={() => actions.callAgain()}>
              {t("end.again")}
            </button>
          ) : null}
          <button type="button" class="button quiet" data-testid="close-ended" onClick={() => actions.closeEnded()}>
            {t("end.close")}
          </button>
        </div>
      </div>
    </main>
  );
}
