import { describe, expect, test } from "vitest";
import { joinEndpointsFrom, socketOf } from "../src/core/server-addresses.ts";

describe("where a page reaches its server", () => {
  test.each([
    ["https://192.0.2.7:8443", "wss://192.0.2.7:8443/mqtt"],
    ["http://localhost:8080/", "ws://localhost:8080/mqtt"],
  ])("the broker of %s is at %s", (origin, socket) => {
    expect(socketOf(origin)).toBe(socket);
  });

  test.each([
    [["https://calls.example.org:8443"], "https://calls.example.org:8443", ["https://calls.example.org:8443"]],
    [["https://calls.example.org"], "https://192.0.2.7:8443", ["https://calls.example.org", "https://192.0.2.7:8443"]],
    [["https://localhost:8443"], "https://192.0.2.7:8443", ["https://192.0.2.7:8443"]],
    [["https://127.0.0.1:8443", "https://[::1]:8443"], "https://192.0.2.7", ["https://192.0.2.7"]],
    [["http://localhost:8080"], "http://localhost:3000", ["http://localhost:8080", "http://localhost:3000"]],
    [["no address"], "https://192.0.2.7", ["no address", "https://192.0.2.7"]],
  ])("the endpoints %j of a page from %s are tried as %j", (named, origin, endpoints) => {
    expect(joinEndpointsFrom(named, origin)).toEqual(endpoints);
  });
});
