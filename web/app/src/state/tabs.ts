/** The agreement between the tabs of one user in one browser: which one is heard, and which rings are silenced. */

import { effect } from "@preact/signals";
import { LeaderElection } from "./leader-election.ts";
import type { Model } from "./model.ts";

/** Of a silenced ring: no tab is to ring it on. */
interface Silenced {
  silenced: readonly string[];
}

export class Tabs {
  readonly #model: Model;
  readonly #loud: LeaderElection;
  #channel: BroadcastChannel | undefined;

  constructor(model: Model) {
    this.#model = model;
    this.#loud = new LeaderElection(() => {
      model.loud.value = this.#loud.isLeader;
    });
  }

  /** A tab that cannot sound, or is offline, leaves ringing to the others. */
  follow(): void {
    const { user, client, soundReady } = this.#model;
    effect(() => this.#listen(user.value));
    effect(() => {
      const rings = user.value && soundReady.value && client.value.type === "online";
      this.#loud.standFor(rings ? `convoke-loud-${user.value}` : undefined);
    });
  }

  silence(keys: readonly string[]): void {
    this.#silenced(keys);
    const silenced: Silenced = { silenced: keys };
    this.#channel?.postMessage(silenced);
  }

  #listen(user: string): void {
    this.#channel?.close();
    this.#channel = undefined;
    if (!user || !globalThis.BroadcastChannel) return;
    this.#channel = new BroadcastChannel(`convoke-${user}`);
    this.#channel.onmessage = ({ data }: MessageEvent<Silenced>) => this.#silenced(data.silenced);
  }

  #silenced(keys: readonly string[]): void {
    const { silenced } = this.#model;
    silenced.value = new Set([...silenced.value, ...keys]);
  }
}
