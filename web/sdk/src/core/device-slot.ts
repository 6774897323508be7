/**
 * The device slot of a tab: which of its browser's four devices it is.
 *
 * Two people, or one person twice, may use one browser. Each tab claims a device slot by a Web Lock, which the browser
 * gives back when the tab is gone, and remembers it in `sessionStorage`, so that a reload is the same device. A fifth
 * tab takes slot 0 over: the tab that held it is told and may take it back.
 */

import { randomHex } from "./ids.ts";

export const SLOT_COUNT = 4;
/** How long a reloaded tab waits for the page before it to let its slot go. */
const RELOAD_WAIT_MS = 700;

/** What the claim needs of the browser; `locks` is absent on pages that are not a secure context. */
export interface DeviceSlotContext {
  locks: LockManager | undefined;
  session: Pick<Storage, "getItem" | "setItem">;
  local: Pick<Storage, "getItem" | "setItem">;
}

export interface ClaimedDeviceSlot {
  slot: number;
  /** `web-<8 hex per browser and account>-<slot>`. */
  device: string;
  /** Lets the slot go. */
  release(): void;
}

/** Claims a slot of `browser`, as {@link browserOf} names it; `onLost` is called when another tab takes it over. */
export async function claimSlot(
  browser: string,
  context: DeviceSlotContext,
  onLost: () => void,
): Promise<ClaimedDeviceSlot> {
  const key = `convoke.slot.${browser}`;
  const remembered = rememberedSlot(context.session.getItem(key));
  const { slot, release } = await claimAny(browser, context.locks, remembered, onLost);
  context.session.setItem(key, String(slot));
  return { slot, device: deviceName(browser, slot), release };
}

/** Takes one certain slot from the tab that holds it. */
export async function takeSlot(
  browser: string,
  slot: number,
  context: DeviceSlotContext,
  onLost: () => void,
): Promise<ClaimedDeviceSlot> {
  const release = await hold(context.locks, lockName(browser, slot), { steal: true }, onLost);
  return { slot, device: deviceName(browser, slot), release: release ?? (() => {}) };
}

/** The order in which slots are tried. */
export function slotOrder(remembered: number | undefined): number[] {
  const all = Array.from({ length: SLOT_COUNT }, (_, slot) => slot);
  return remembered === undefined ? all : [remembered, ...all.filter((slot) => slot !== remembered)];
}

function rememberedSlot(text: string | null): number | undefined {
  const slot = text === null ? Number.NaN : Number(text);
  return Number.isInteger(slot) && slot >= 0 && slot < SLOT_COUNT ? slot : undefined;
}

/** The name that this browser has for the devices of `account`: 8 hex digits, made once and kept. */
export function browserOf(account: string, local: DeviceSlotContext["local"]): string {
  const key = `convoke.browser.${account}`;
  const known = local.getItem(key);
  if (known && /^[0-9a-f]{8}$/.test(known)) return known;
  const made = randomHex(8);
  local.setItem(key, made);
  return made;
}

export function deviceName(browser: string, slot: number): string {
  return `web-${browser}-${slot}`;
}

/** How many tabs are devices of `browser` now. */
export async function countTabs(browser: string, locks: LockManager | undefined): Promise<number> {
  const { held = [] } = (await locks?.query()) ?? {};
  const names = new Set(Array.from({ length: SLOT_COUNT }, (_, slot) => lockName(browser, slot)));
  return held.filter(({ name }) => names.has(name ?? "")).length;
}

async function claimAny(
  browser: string,
  locks: LockManager | undefined,
  remembered: number | undefined,
  onLost: () => void,
): Promise<{ slot: number; release: () => void }> {
  for (const slot of slotOrder(remembered)) {
    const wait = slot === remembered ? { signal: AbortSignal.timeout(RELOAD_WAIT_MS) } : { ifAvailable: true };
    const release = await hold(locks, lockName(browser, slot), wait, onLost);
    if (release) return { slot, release };
  }
  const release = await hold(locks, lockName(browser, 0), { steal: true }, onLost);
  return { slot: 0, release: release ?? (() => {}) };
}

function lockName(browser: string, slot: number): string {
  return `convoke-${browser}-${slot}`;
}

/** Holds a lock until the returned function is called; undefined if it is not to be had. */
function hold(
  locks: LockManager | undefined,
  name: string,
  options: LockOptions,
  onLost: () => void,
): Promise<(() => void) | undefined> {
  if (!locks) return Promise.resolve(() => {});
  return new Promise((resolve) => {
    let held = false;
    const untilReleased = (lock: Lock | null) => {
      if (!lock) return resolve(undefined);
      held = true;
      return new Promise<void>((release) => resolve(release));
    };
    locks.request(name, options, untilReleased).catch(() => (held ? onLost() : resolve(undefined)));
  });
}
