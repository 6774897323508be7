/** The table of receive slots, as the RTC server last sent it. A map with a lower epoch than the last one is ignored. */

import type { ParticipationId, Slot, SlotMap, Source } from "../wire.ts";

export class SlotTable {
  #epoch = -1;
  #slots: readonly Slot[] = [];

  get slots(): readonly Slot[] {
    return this.#slots;
  }

  /** Whether the map was taken. */
  apply(map: SlotMap): boolean {
    if (map.epoch < this.#epoch) return false;
    this.#epoch = map.epoch;
    this.#slots = map.slots;
    return true;
  }

  /** The mid that brings one source of one participation at present. */
  midOf(participation: ParticipationId, source: Source): string | undefined {
    return this.#slots.find((slot) => slot.participation === participation && slot.source === source)?.mid;
  }
}

/** A slot map from the data channel; undefined if the text is none. */
export function decodeSlotMap(text: unknown): SlotMap | undefined {
  if (typeof text !== "string") return undefined;
  try {
    const value = JSON.parse(text) as Partial<SlotMap> | null;
    return typeof value?.epoch === "number" && Array.isArray(value.slots) ? (value as SlotMap) : undefined;
  } catch {
    return undefined;
  }
}
