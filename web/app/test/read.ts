/** Words as they are read: without the characters that keep names in their direction and times in their line. */
export function read<T extends string | undefined>(words: T): T {
  return words?.replace(/[\u2068\u2069]/g, "").replaceAll("\u00a0", " ") as T;
}
