/** Attention: whether any tab of a user in this browser is looked at. Such a tab holds a shared lock. */

import { holdLock } from "./leader-election.ts";

export class Attention {
  #user = "";
  #leave: (() => void) | undefined;

  constructor() {
    const look = () => this.#look();
    document.addEventListener("visibilitychange", look);
    window.addEventListener("focus", look);
    window.addEventListener("blur", look);
  }

  of(user: string): void {
    this.#letGo();
    this.#user = user;
    this.#look();
  }

  async isHere(): Promise<boolean> {
    if (!navigator.locks) return isLookedAt();
    const { held } = await navigator.locks.query();
    return held?.some(({ name }) => name === this.#name) ?? false;
  }

  get #name(): string {
    return `convoke-attended-${this.#user}`;
  }

  #look(): void {
    if (!isLookedAt() || !this.#user) return this.#letGo();
    if (navigator.locks) this.#leave ??= holdLock(navigator.locks, this.#name, "shared", () => {});
  }

  #letGo(): void {
    this.#leave?.();
    this.#leave = undefined;
  }
}

function isLookedAt(): boolean {
  return document.visibilityState === "visible" && document.hasFocus();
}
