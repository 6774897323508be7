/**
 * The contacts that this user may call and their presence, kept up to date: asked for after each connect and again
 * before the service forgets that it is watched, and updated by its `presence` signals.
 */

import type { Requests } from "./signalling/requests.ts";
import type { Contact, DownOf, UserName } from "./wire.ts";

const WATCH_S = 120;
const RENEW_EVERY_MS = 60_000;
/** Without an answer it is asked again after this. */
const RETRY_MS = 2_000;

export class ContactWatch {
  readonly #requests: Requests;
  readonly #changed: (contacts: readonly Contact[] | undefined) => void;
  #contacts: Map<UserName, Contact> | undefined;
  /** When the service said what is known, by its clock. */
  #asOfMs = 0;
  #on = false;
  #up = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Counts questions: only the last one's answer counts. */
  #generation = 0;

  constructor(requests: Requests, changed: (contacts: readonly Contact[] | undefined) => void) {
    this.#requests = requests;
    this.#changed = changed;
  }

  watch(on: boolean): void {
    const was = this.#on;
    this.#on = on;
    if (was && !on && this.#up) this.#requests.ask({ type: "contacts", watchS: 0 }).catch(() => {});
    if (was && on) this.#renew();
    else this.#begin();
  }

  /** While signalling is down their presence is unknown. */
  signalling(up: boolean): void {
    if (up === this.#up) return;
    this.#up = up;
    this.#begin();
  }

  handlePresence({ users, sentAtMs }: DownOf<"presence">): void {
    if (!this.#contacts || sentAtMs < this.#asOfMs) return;
    this.#asOfMs = sentAtMs;
    for (const contact of users) this.#contacts.set(contact.user, contact);
    this.#report();
  }

  #begin(): void {
    if (this.#contacts) {
      this.#contacts = undefined;
      this.#report();
    }
    this.#renew();
  }

  #renew(): void {
    this.#generation += 1;
    clearTimeout(this.#timer);
    if (this.#on && this.#up) void this.#ask();
  }

  async #ask(): Promise<void> {
    const generation = this.#generation;
    const answer = await this.#requests.ask({ type: "contacts", watchS: WATCH_S }).catch(() => undefined);
    if (generation !== this.#generation) return;
    this.#timer = setTimeout(() => void this.#ask(), answer ? RENEW_EVERY_MS : RETRY_MS);
    if (answer?.type !== "contacts") return;
    this.#asOfMs = answer.sentAtMs;
    this.#contacts = new Map(answer.users.map((contact) => [contact.user, contact]));
    this.#report();
  }

  #report(): void {
    this.#changed(this.#contacts && [...this.#contacts.values()]);
  }
}
