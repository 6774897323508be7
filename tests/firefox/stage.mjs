// What the tests in Firefox stand on: a server, Alice in Firefox and Bob in Chromium, each at a host of their own.

import { launch } from "../browser/chromium.mjs";
import { open } from "../browser/people.mjs";
import { Network, noNetwork } from "../network.mjs";
import { Server } from "../server.mjs";
import { CONTEXT, launchFirefox, noFirefox } from "./firefox.mjs";

/** Why these tests cannot run here; `false` where they can. */
export const skip = noFirefox || noNetwork;

export class Stage {
  static async set(settings) {
    const stage = new Stage();
    stage.network = new Network();
    stage.hosts = { server: stage.network.host(), firefox: stage.network.host(), chromium: stage.network.host() };
    stage.server = await Server.start(settings, stage.hosts.server);
    [stage.firefox, stage.chromium] = await Promise.all([
      launchFirefox(stage.hosts.firefox),
      launch({ host: stage.hosts.chromium }),
    ]);
    [stage.alice, stage.bob] = await Promise.all([stage.opens(stage.firefox, "alice"), stage.opens(stage.chromium, "bob")]);
    await Promise.all([stage.alice.findsEverybody(), stage.bob.findsEverybody()]);
    return stage;
  }

  opens(browser, user) {
    return open(browser, this.server, user, CONTEXT);
  }

  async clear() {
    await Promise.all([this.firefox?.close(), this.chromium?.close()]);
    await this.server?.stop();
    this.network?.remove();
  }
}
