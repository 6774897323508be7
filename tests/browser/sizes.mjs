// The windows that every screen is held against: small phone, phone, phone sideways, tablet, laptop, large screen.

import { LAPTOP, PHONE } from "./people.mjs";

export const SIZES = [
  { width: 320, height: 640 },
  PHONE,
  { width: 844, height: 390 },
  { width: 768, height: 1024 },
  LAPTOP,
  { width: 1920, height: 1080 },
];
export const THEMES = ["light", "dark"];
