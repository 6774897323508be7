/**
 * Notifications of the system, for a person who has this page open and looks at something else: of each ring until it
 * ends, and of each call that was missed until it is seen. One tab of a user shows them, and none while a tab is being
 * looked at.
 *
 * Browsers on Android give them to service workers alone: there none is shown.
 */

import type { Outcome } from "@convoke/sdk";
import { effect, signal } from "@preact/signals";
import { when } from "../texts/format.ts";
import { t } from "../texts/t.ts";
import { Attention } from "./attention.ts";
import { LeaderElection } from "./leader-election.ts";
import type { Model, Ringing } from "./model.ts";

/** After a long absence the newest are enough. */
const MISSED_SHOWN_MAX = 3;

export class Notifier {
  readonly #model: Model;
  readonly #election = new LeaderElection();
  readonly #attention = new Attention();
  readonly #allowed = signal(isAllowed());
  readonly #shown = new Map<string, Notification>();
  /** Rings and missed calls that were shown, or were known when the page was opened. */
  readonly #known = new Set<string>();
  #rings: ReadonlySet<string> = new Set();
  #missed: ReadonlySet<string> | undefined;

  constructor(model: Model) {
    this.#model = model;
  }

  /** Asks the person once, from a touch; after a no it does not ask again. */
  ask(): void {
    if (globalThis.Notification?.permission !== "default") return;
    void Notification.requestPermission().then(() => this.#permission());
  }

  follow(): void {
    const { user, client, ringing } = this.#model;
    effect(() => {
      const shows = this.#allowed.value && user.value && client.value.type === "online";
      // Signed out, or another tab is this device now: nothing stands here any more.
      if (client.value.type === "idle" || client.value.type === "elsewhere")
        this.#closeAllBut(this.#shown.keys(), new Set());
      this.#election.standFor(shows ? `convoke-notify-${user.value}` : undefined);
    });
    effect(() => this.#ringing(ringing.value));
    effect(() => this.#attention.of(user.value));
    void navigator.permissions?.query({ name: "notifications" }).then(
      (status) => status.addEventListener("change", () => this.#permission()),
      () => {},
    );
  }

  /** The missed calls that have not been seen on any device, newest first. */
  missed(list: readonly Outcome[]): void {
    const before = this.#missed;
    this.#missed = new Set(list.map(({ invitation }) => invitation));
    this.#closeAllBut(before ?? [], this.#missed);
    const news = before ? list.filter(({ invitation }) => !before.has(invitation)) : [];
    for (const outcome of news.slice(0, MISSED_SHOWN_MAX)) this.#tellMissed(outcome);
  }

  #ringing(list: readonly Ringing[]): void {
    const rings = new Set(list.map(({ key }) => key));
    this.#closeAllBut(this.#rings, rings);
    this.#rings = rings;
    for (const { key, state } of list) {
      const { from, media, title } = state;
      const body = title || t(media === "video" ? "incoming.video" : "incoming.audio");
      const words = t("notify.rings", { name: from?.name ?? "" });
      void this.#show(
        key,
        words,
        { body, requireInteraction: true },
        () => {},
        () => this.#rings.has(key),
      );
    }
  }

  #tellMissed({ invitation, fromName: name, media, atMs }: Outcome): void {
    const body = t(`missed.${media}`, { when: when(atMs) });
    const offer = () => {
      this.#model.offered.value = invitation;
    };
    void this.#show(
      invitation,
      t("notify.missed", { name }),
      { body },
      offer,
      () => this.#missed?.has(invitation) ?? false,
    );
  }

  /** Once for each `tag`, unless it has gone by the time it is known that no tab is looked at. */
  async #show(tag: string, words: string, options: NotificationOptions, click: () => void, stands: () => boolean) {
    if (this.#known.has(tag) || !this.#election.isLeader) return;
    this.#known.add(tag);
    if ((await this.#attention.isHere()) || !stands()) return;
    try {
      const shown = new Notification(words, { ...options, tag, silent: this.#model.loud.value });
      this.#shown.set(tag, shown);
      shown.onclick = () => {
        window.focus();
        shown.close();
        click();
      };
    } catch {
      // A browser that shows them from service workers alone.
    }
  }

  #closeAllBut(before: Iterable<string>, now: ReadonlySet<string>): void {
    for (const tag of [...before].filter((each) => !now.has(each))) {
      this.#shown.get(tag)?.close();
      this.#shown.delete(tag);
      this.#known.delete(tag);
    }
  }

  #permission(): void {
    this.#allowed.value = isAllowed();
  }
}

function isAllowed(): boolean {
  return globalThis.Notification?.permission === "granted";
}
