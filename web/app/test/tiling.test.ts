import { describe, expect, test } from "vitest";
import { tileSize } from "../src/state/tiling.ts";

const GAP = 8;
const ROOMS = {
  "a phone sideways": { width: 756, height: 330 },
  "a phone": { width: 366, height: 690 },
  "a laptop": { width: 1232, height: 630 },
};

/** How many stand in a row of so wide a room. */
const inRow = (width: number, room: number) => Math.floor((room + GAP) / (width + GAP));

describe.each(Object.entries(ROOMS))("tiles on %s", (_, room) => {
  test.each([1, 2, 3, 4, 5, 9, 16])("%i of them fit, and cut no face to a ribbon", (count) => {
    const { width, height, scrolls } = tileSize(count, room, GAP);
    const rows = Math.ceil(count / inRow(width, room.width));
    expect(scrolls).toBe(false);
    expect(rows * (height + GAP) - GAP).toBeLessThanOrEqual(room.height);
    expect(width / height).toBeGreaterThan(0.74);
    expect(width / height).toBeLessThan(1.79);
  });
});

test("two people on a phone stand below each other, and side by side on a phone held sideways", () => {
  expect(inRow(tileSize(2, ROOMS["a phone"], GAP).width, ROOMS["a phone"].width)).toBe(1);
  expect(inRow(tileSize(2, ROOMS["a phone sideways"], GAP).width, ROOMS["a phone sideways"].width)).toBe(2);
});

test("too many for a small room scroll, with room for the scroll bar", () => {
  const { width, scrolls } = tileSize(40, { width: 296, height: 400 }, GAP);
  expect(scrolls).toBe(true);
  expect(width).toBeGreaterThanOrEqual(88);
  expect(3 * width + 2 * GAP).toBeLessThanOrEqual(296 - 16);
});

test("a room that is not there yet makes no tile of a negative size", () => {
  expect(tileSize(3, { width: 0, height: 0 }, GAP)).toMatchObject({ scrolls: true });
  expect(tileSize(3, { width: 0, height: 0 }, GAP).width).toBeGreaterThanOrEqual(0);
});
