// A computer whose clock is wrong, is set while the page is open, or is put right before it is opened again.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Server } from "../server.mjs";
import { launch } from "./chromium.mjs";
import { everybodyHome, open } from "./people.mjs";

let server, browser, alice, bob;

before(async () => {
  server = await Server.start();
  browser = await launch();
  alice = await open(browser, server, "alice", { init: wrongClock });
  bob = await open(browser, server, "bob", { init: wrongClock });
  await Promise.all([alice.findsEverybody(), bob.findsEverybody()]);
});

afterEach(async () => {
  await everybodyHome(alice, bob);
  await Promise.all([alice, bob].map((person) => setClock(person, 0)));
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** In the page, before its own code: a wall clock that can be set, and stays set over a reload. */
function wrongClock() {
  const KEY = "test.clock_ahead_ms";
  const RealDate = Date;
  let ahead_ms = Number(sessionStorage.getItem(KEY) ?? 0);
  window.Date = class extends RealDate {
    constructor(...parts) {
      if (parts.length > 0) super(...parts);
      else super(RealDate.now() + ahead_ms);
    }
    static now() {
      return RealDate.now() + ahead_ms;
    }
  };
  window.setClock = (value_ms) => {
    ahead_ms = value_ms;
    sessionStorage.setItem(KEY, String(value_ms));
  };
}

function setClock(person, ahead_ms) {
  return person.page.evaluate((value_ms) => window.setClock(value_ms), ahead_ms);
}

async function answered() {
  await bob.answers();
  await Promise.all([alice.sees("bob"), bob.sees("alice")]);
}

for (const ahead_ms of [46_000, -31_000, 3_600_000, -3_600_000]) {
  test(`a callee whose clock was set by ${ahead_ms} ms is rung once, and the answer counts`, async () => {
    const before = await bob.rings();
    await setClock(bob, ahead_ms);
    await alice.calls("bob");
    await bob.isRung();
    await answered();
    assert.equal(await bob.rings(), before + 1);
  });

  test(`a ring goes on, and its answer counts, when the callee's clock is set by ${ahead_ms} ms meanwhile`, async () => {
    const before = await bob.rings();
    await alice.calls("bob");
    await bob.isRung();
    await setClock(bob, ahead_ms);
    await answered();
    assert.equal(await bob.rings(), before + 1);
  });

  test(`a caller whose clock was set by ${ahead_ms} ms calls, and is answered`, async () => {
    await setClock(alice, ahead_ms);
    await alice.calls("bob");
    await bob.isRung();
    await answered();
  });

  test(`what a page learnt of a clock that was ${ahead_ms} ms wrong does not keep it from ringing once that was put right`, async () => {
    await setClock(bob, ahead_ms);
    await bob.reloads();
    await bob.isOnline();
    await setClock(bob, 0);
    await bob.reloads();
    await bob.isOnline();
    await alice.calls("bob");
    await bob.isRung();
    await answered();
    assert.equal(await bob.rings(), 1);
  });
}

test("a call goes on when both clocks are set, and muting counts", async () => {
  await alice.calls("bob");
  await bob.isRung();
  await answered();
  await Promise.all([setClock(alice, 46_000), setClock(bob, -31_000)]);
  await alice.page.keyboard.press("m");
  await bob.tile("alice").getByTestId("mark-muted").waitFor();
  await alice.page.keyboard.press("m");
  await bob.tile("alice").getByTestId("mark-muted").waitFor({ state: "detached" });
  await bob.hears();
});
