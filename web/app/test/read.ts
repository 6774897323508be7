/** Words as they are read: without the characters that keep each name in its own direction. */
export function read<T extends string | undefined>(words: T): T {
  return words?.replace(/[\u2068\u2069]/g, "") as T;
}
