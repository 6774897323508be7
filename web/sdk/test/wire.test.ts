/** The names of the wire, and those of the SDK for the same. */

import { readFileSync } from "node:fs";
import { IDBFactory } from "fake-indexeddb";
import { describe, expect, test } from "vitest";
import { openLoginStore } from "../src/login/store.ts";
import { openRingStore, ringDatabase } from "../src/ring/store.ts";
import { fromWire, toWire } from "../src/wire.ts";

const SCHEMA = new URL("../../../crates/signalling/signalling.schema.json", import.meta.url);

/** The names of all fields in a JSON Schema. */
function fieldsOf(schema: unknown): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { properties = {} } = schema as { properties?: object };
  return [...Object.keys(properties), ...Object.values(schema).flatMap(fieldsOf)];
}

/** Everything in one object store, as it stands there. */
async function stored(factory: IDBFactory, database: string, name: string): Promise<unknown[]> {
  const db = await new Promise<IDBDatabase>((resolve) => {
    const request = factory.open(database);
    request.onsuccess = () => resolve(request.result);
  });
  return new Promise((resolve) => {
    const request = db.transaction(name).objectStore(name).getAll();
    request.onsuccess = () => resolve(request.result);
  });
}

describe("a document of the wire", () => {
  test("gets every field of the schema in camel case, and back", () => {
    const fields = [...new Set(fieldsOf(JSON.parse(readFileSync(SCHEMA, "utf8"))))];
    expect(fields).toContain("ring_until_ms");
    const document = Object.fromEntries(fields.map((field) => [field, [{ [field]: null }]]));
    const named = fromWire(document) as object;
    expect(Object.keys(named)).toContain("ringUntilMs");
    expect(Object.keys(named).filter((name) => name.includes("_"))).toEqual([]);
    expect(toWire(named)).toEqual(document);
    expect(fromWire(named)).toEqual(named);
  });

  test("keeps its values, whatever they look like", () => {
    const values = { type: "roster_changed", names: ["a_b", "aB"], rev: 0, meeting: null, ringing: false };
    expect([fromWire(values), toWire(values)]).toEqual([values, values]);
  });
});

describe("what is stored has the names of the wire", () => {
  test("a ring", async () => {
    const factory = new IDBFactory();
    const store = await openRingStore("c", { factory });
    const entry = { invitation: "i1", rev: 1, phase: "missed", keepUntilMs: 2 } as const;
    await store.put(entry);
    const named = { invitation: "i1", rev: 1, phase: "missed", keep_until_ms: 2 };
    expect(await stored(factory, ringDatabase("c"), "rings")).toEqual([named]);
    expect(await (await openRingStore("c", { factory })).all()).toEqual([entry]);
  });

  test("a login, and a device that the server is to be told of", async () => {
    const factory = new IDBFactory();
    const store = await openLoginStore(factory);
    const names = { username: "u", password: "p", user: "bob", name: "Bob" };
    const credentials = { ...names, clientId: "c", expiresAtMs: 3, endpoints: { mqttWs: "ws://h/mqtt" } };
    const document = { ...names, client_id: "c", expires_at_ms: 3, endpoints: { mqtt_ws: "ws://h/mqtt" } };
    const record = {
      account: "a",
      server: "http://h",
      link: "l",
      slots: { 0: credentials },
      sinceMs: { 0: 4 },
      usedAtMs: 5,
    };
    await store.change("a", () => record);
    const login = {
      account: "a",
      server: "http://h",
      link: "l",
      slots: { 0: document },
      since_ms: { 0: 4 },
      used_at_ms: 5,
    };
    expect(await stored(factory, "convoke-logins", "logins")).toEqual([login]);
    expect(await store.all()).toEqual([record]);
    expect(await store.end("a")).toEqual(record);
    const signOut = { client_id: "c", server: "http://h", credentials: document };
    expect(await stored(factory, "convoke-logins", "endings")).toEqual([signOut]);
    expect(await store.signOuts()).toEqual([{ clientId: "c", server: "http://h", credentials }]);
  });
});
