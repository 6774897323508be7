import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ContactWatch } from "../src/contacts.ts";
import type { Up } from "../src/generated/signalling.ts";
import { Outbox } from "../src/signalling/outbox.ts";
import { Requests } from "../src/signalling/requests.ts";
import type { Contact, Presence } from "../src/wire.ts";
import { clockAt, envelope, T0 } from "./fixtures.ts";

const contact = (user: string, presence: Presence): Contact => ({ user, name: user, presence });

/** A watch whose questions are answered with `bob` as he stands. */
function watch() {
  const asked: (number | null | undefined)[] = [];
  const shown: (string | undefined)[] = [];
  const service = { bob: "online" as Presence, answers: true, sentAtMs: T0 };
  const publish = async (_topic: string, payload: string) => {
    const up = JSON.parse(payload) as Up;
    if (up.type !== "contacts") return;
    asked.push(up.watch_s);
    const { sentAtMs } = service;
    const answer = {
      ...envelope,
      sentAtMs,
      inReplyTo: up.id,
      type: "contacts",
      users: [contact("bob", service.bob)],
    };
    if (service.answers) queueMicrotask(() => requests.answer(answer as never));
  };
  const requests = new Requests(new Outbox({ publish, isUp: () => true }), clockAt(Date.now));
  const contacts = new ContactWatch(requests, (list) => shown.push(list?.map(({ presence }) => presence).join()));
  const told = (presence: Presence, sentAtMs = T0 + 1) =>
    contacts.handlePresence({ ...envelope, sentAtMs, type: "presence", users: [contact("bob", presence)] });
  return { asked, shown, service, contacts, told };
}

describe("the watch over contacts", () => {
  beforeEach(() => void vi.useFakeTimers({ now: T0 }));
  afterEach(() => void vi.useRealTimers());

  test("asks after each connect and renews every minute, before the service forgets", async () => {
    const { asked, contacts } = watch();
    contacts.watch(true);
    expect(asked).toEqual([]);
    contacts.signalling(true);
    await vi.advanceTimersByTimeAsync(59_000);
    expect(asked).toEqual([120]);
    await vi.advanceTimersByTimeAsync(61_000);
    expect(asked).toEqual([120, 120, 120]);
    contacts.signalling(false);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(asked).toHaveLength(3);
    contacts.signalling(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toHaveLength(4);
  });

  test("follows what is told meanwhile, unless it is older than the answer", async () => {
    const { shown, contacts, told } = watch();
    contacts.watch(true);
    contacts.signalling(true);
    await vi.advanceTimersByTimeAsync(0);
    told("offline");
    told("in_call", T0 - 1);
    expect(shown).toEqual(["online", "offline"]);
  });

  test("knows nothing while the way to the service is cut, and until it has said so again", async () => {
    const { shown, service, contacts, told } = watch();
    contacts.watch(true);
    contacts.signalling(true);
    await vi.advanceTimersByTimeAsync(0);
    contacts.signalling(false);
    service.answers = false;
    contacts.signalling(true);
    told("offline");
    await vi.advanceTimersByTimeAsync(0);
    expect(shown).toEqual(["online", undefined]);
  });

  test("asks again where no answer came", async () => {
    const { asked, shown, service, contacts } = watch();
    service.answers = false;
    contacts.watch(true);
    contacts.signalling(true);
    await vi.advanceTimersByTimeAsync(8_000);
    service.answers = true;
    await vi.advanceTimersByTimeAsync(2_000);
    expect([asked, shown]).toEqual([[120, 120], ["online"]]);
  });

  test("ends with a word to the service", async () => {
    const { asked, contacts } = watch();
    contacts.watch(true);
    contacts.signalling(true);
    contacts.watch(false);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(asked).toEqual([120, 0]);
  });
});
