// Words as they are read: the page keeps each name in its own direction by invisible characters.

const ISOLATES = /[\u2066-\u2069]/g;

/** What finds the words of a page, whatever keeps the names in them apart. */
export function asRead(words) {
  if (words instanceof RegExp) return words;
  const escaped = [...words].map((one) => one.replace(/[.*+?^${}()|[\]\\]/, "\\$&"));
  return new RegExp(escaped.join("[\\u2066-\\u2069]*"), "i");
}

export function read(text) {
  return text.replace(ISOLATES, "");
}
