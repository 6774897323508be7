/** Short notices to be seen, in a header that keeps room for them, and the same to be spoken. */

import { useApp } from "./app.tsx";

export function Notices() {
  const { model } = useApp();
  return (
    <div class="notices" aria-hidden="true">
      {model.notices.value.map(({ id, text }) => (
        <p class="notice" key={id} title={text} data-testid="notice">
          {text}
        </p>
      ))}
    </div>
  );
}

export function Live() {
  const { model } = useApp();
  return (
    <div class="live hidden" role="status" aria-live="assertive" data-testid="live">
      {model.spoken.value}
    </div>
  );
}
