// The page over plain HTTP at an address that no browser trusts by itself: it says so at once, and leads to where it works.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Person } from "../browser/people.mjs";
import { CONTEXT } from "./firefox.mjs";
import { skip, Stage } from "./stage.mjs";

let stage;

before(async () => {
  if (!skip) stage = await Stage.set();
});

after(() => stage?.clear());

for (const browser of ["firefox", "chromium"]) {
  test(`a link over plain HTTP says what is wrong, and leads to the secure page: ${browser}`, { skip }, async () => {
    const { server } = stage;
    const link = await server.link("carol");
    const carol = new Person(await stage[browser].newContext(CONTEXT), server, "carol");
    await carol.opens(link.replace(server.url, server.plainUrl));
    assert.equal(await carol.page.evaluate(() => isSecureContext), false);
    await carol.find("insecure").waitFor();
    assert.equal(await carol.find("go-secure").getAttribute("href"), link);
    await carol.presses("go-secure");
    await carol.findsEverybody();
    await carol.isOnline();
    assert.deepEqual(carol.errors, []);
    await carol.context.close();
  });
}
