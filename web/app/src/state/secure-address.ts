/** The secure address of a page that was opened over plain HTTP: the same server, by the same name. */

export async function secureAddress(from: Location = location, fetcher = fetch): Promise<string | undefined> {
  const port = await fetcher("/api/v1/server")
    .then((answer) => (answer.ok ? answer.json() : undefined))
    .then((server: { https_port?: unknown } | undefined) => server?.https_port)
    .catch(() => undefined);
  if (typeof port !== "number") return undefined;
  const url = new URL(from.href);
  url.protocol = "https:";
  url.port = String(port);
  return url.href;
}
