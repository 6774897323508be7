/** Icons, drawn on a 24 px grid with one stroke. They never carry a meaning alone: a label stands beside or behind each. */

import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

const HANDSET =
  "M6.2 3.5h2.7l1.6 4.2-2 1.5a12.6 12.6 0 0 0 6.3 6.3l1.5-2 4.2 1.6v2.7a2 2 0 0 1-2.2 2A16.8 16.8 0 0 1 4.2 5.7a2 2 0 0 1 2-2.2Z";

export const Phone = () => (
  <Icon>
    <path d={HANDSET} />
  </Icon>
);
export const HangUp = () => (
  <Icon>
    <path d="M3 14.6c-.5-1.7 0-3.4 1.5-4.4a13.6 13.6 0 0 1 15 0c1.5 1 2 2.7 1.5 4.4l-.3 1a1.3 1.3 0 0 1-1.5.9l-3.1-.6a1.3 1.3 0 0 1-1-1.1l-.2-2.1a10.6 10.6 0 0 0-5.8 0l-.2 2.1a1.3 1.3 0 0 1-1 1.1l-3.1.6a1.3 1.3 0 0 1-1.5-.9Z" />
  </Icon>
);
export const Camera = () => (
  <Icon>
    <rect x="3" y="6.5" width="12" height="11" rx="2.5" />
    <path d="m15 10.5 5-3v9l-5-3" />
  </Icon>
);
export const CameraOff = () => (
  <Icon>
    <path d="M15 10.5V9a2.5 2.5 0 0 0-2.5-2.5H9M5.5 6.5A2.5 2.5 0 0 0 3 9v6a2.5 2.5 0 0 0 2.5 2.5h7c.7 0 1.3-.3 1.8-.7M15 13.5l5 3v-9l-4 2.4M4 3.5l16 17" />
  </Icon>
);
export const Mic = () => (
  <Icon>
    <rect x="9" y="3" width="6" height="11" rx="3" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
  </Icon>
);
export const MicOff = () => (
  <Icon>
    <path d="M15 10V6a3 3 0 0 0-5.9-.8M9 9.5V11a3 3 0 0 0 4.6 2.5M5.5 11.5a6.5 6.5 0 0 0 10.3 5.3M18.5 11.5c0 1-.2 2-.6 2.8M12 18v3M4 3.5l16 17" />
  </Icon>
);
export const People = () => (
  <Icon>
    <circle cx="9" cy="8" r="3.5" />
    <path d="M2.8 19.5a6.2 6.2 0 0 1 12.4 0M15.5 4.9a3.5 3.5 0 0 1 0 6.2M17.8 14.2a6.2 6.2 0 0 1 3.4 5.3" />
  </Icon>
);
export const Invite = () => (
  <Icon>
    <circle cx="9.5" cy="8" r="3.5" />
    <path d="M3.3 19.5a6.2 6.2 0 0 1 12.4 0M18.5 8v6M15.5 11h6" />
  </Icon>
);
export const Speaker = () => (
  <Icon>
    <path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5ZM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11" />
  </Icon>
);
export const SpeakerOff = () => (
  <Icon>
    <path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5ZM16 9.8l4.5 4.5M20.5 9.8 16 14.3" />
  </Icon>
);
export const Close = () => (
  <Icon>
    <path d="m6 6 12 12M18 6 6 18" />
  </Icon>
);
export const Bell = () => (
  <Icon>
    <path d="M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15ZM10 20.5a2.2 2.2 0 0 0 4 0" />
  </Icon>
);
export const Check = () => (
  <Icon>
    <path d="m5 12.5 4.5 4.5L19 7.5" />
  </Icon>
);
export const Missed = () => (
  <Icon>
    <path d={HANDSET} />
    <path d="m15 3.5 5 5M20 3.5l-5 5" />
  </Icon>
);
export const Shield = () => (
  <Icon>
    <circle cx="12" cy="12" r="8.5" />
    <path d="m6 6 12 12" />
  </Icon>
);

export const Logo = () => (
  <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <rect width="32" height="32" rx="9" class="logo-ground" />
    <path d="M20.6 11.4a6.5 6.5 0 1 0 0 9.2" class="logo-line" />
    <path d="M24.6 8.2a11 11 0 0 1 0 15.6" class="logo-line faint" />
  </svg>
);
