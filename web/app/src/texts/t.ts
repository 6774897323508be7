/** The words of a key. A missing key or a missing value is a compile error. */

import { en } from "./en.ts";
import { isolated } from "./isolated.ts";

export type Catalogue = typeof en;
export type TextKey = keyof Catalogue;

/** The names in braces of a text. */
type Values<S extends string> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Values<Rest> : never;
type Arguments<S extends string> = [Values<S>] extends [never] ? [] : [values: Record<Values<S>, string>];

const catalogue: Record<TextKey, string> = en;
/** What people have written themselves, in whatever direction. Lists of names come isolated, one by one. */
const WRITTEN = new Set(["name", "title"]);

export function t<K extends TextKey>(key: K, ...[values]: Arguments<Catalogue[K]>): string {
  const named = (values ?? {}) as Record<string, string>;
  return catalogue[key].replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = named[name];
    return value === undefined ? whole : WRITTEN.has(name) ? isolated(value) : value;
  });
}
