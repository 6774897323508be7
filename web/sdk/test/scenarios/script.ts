/** A step script of `tests/terminal-scenarios`: its fields, and its variants. The README there has the words. */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Step = { [name: string]: Json };

export interface Scenario {
  why: string;
  me: string;
  clock_ms: number;
  window: number;
  free: string[];
  steps: Step[];
}

const FIELDS = ["why", "me", "clock_ms", "window", "free", "only", "for", "steps"];

/** The scenario with each combination of its values put in; none if it is for the other SDK alone. */
export function variants(text: string): { values: string; scenario: Scenario }[] {
  const file = JSON.parse(text) as Step;
  const unknown = Object.keys(file).find((name) => !FIELDS.includes(name));
  if (unknown) throw new Error(`a scenario has no ${unknown}`);
  const only = (file.only ?? ["web"]) as string[];
  if (!only.includes("web")) return [];
  let combinations: Step[] = [{}];
  for (const [name, values] of Object.entries((file.for ?? {}) as Record<string, Json[]>)) {
    combinations = combinations.flatMap((before) => values.map((value) => ({ ...before, [name]: value })));
  }
  return combinations.map((values) => ({ values: JSON.stringify(values), scenario: scenario(file, values) }));
}

function scenario(file: Step, values: Step): Scenario {
  const { why, me = "bob", clock_ms = 0, window = 32, free = [], steps } = file;
  return { why, me, free, ...(replaced({ clock_ms, window, steps } as Json, values) as object) } as Scenario;
}

/** `"$name"` becomes the value, `${name}` within a text its text. */
export function replaced(value: Json, values: Step): Json {
  if (typeof value === "string") return replacedText(value, values);
  if (Array.isArray(value)) return value.map((item) => replaced(item, values));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, replaced(field, values)]));
}

function replacedText(text: string, values: Step): Json {
  const whole = text.startsWith("$") ? values[text.slice(1)] : undefined;
  if (whole !== undefined) return whole;
  return Object.entries(values).reduce((said, [name, value]) => said.replaceAll(`\${${name}}`, String(value)), text);
}
