/** Isolated text: in its own direction, that of its first letter, whatever is around it (U+2068, U+2069). */
export function isolated(name: string): string {
  return `\u2068${name}\u2069`;
}
