/** The tiling of a call's pictures: the largest tiles in their room whose shape does not crop faces too far. */

export interface Size {
  width: number;
  height: number;
}

export interface Tiling extends Size {
  /** There are too many for the room: they stand below each other without end. */
  scrolls: boolean;
}

/** Upright as a phone holds it, wide as a camera sees. */
const RATIO = { min: 3 / 4, max: 16 / 9 };
/** Narrower ones show too little: then the room scrolls. */
const WIDTH_MIN_PX = 88;
const SCROLL_BAR_PX = 16;

export function tileSize(count: number, room: Size, gap: number): Tiling {
  const columns = Array.from({ length: Math.max(count, 1) }, (_, i) => i + 1);
  const sizes = columns.map((each) => shaped(cell(each, Math.ceil(count / each), room, gap)));
  const largest = sizes.reduce((best, size) => (size.width * size.height > best.width * best.height ? size : best));
  return largest.width < WIDTH_MIN_PX ? scrolled(room, gap) : { ...largest, scrolls: false };
}

function cell(columns: number, rows: number, { width, height }: Size, gap: number): Size {
  return { width: (width - gap * (columns - 1)) / columns, height: (height - gap * (rows - 1)) / rows };
}

function shaped({ width, height }: Size): Size {
  return {
    width: Math.max(0, Math.floor(Math.min(width, height * RATIO.max))),
    height: Math.max(0, Math.floor(Math.min(height, width / RATIO.min))),
  };
}

/** As many in a row as there is room for beside a scroll bar. */
function scrolled(room: Size, gap: number): Tiling {
  const widthForAll = room.width - SCROLL_BAR_PX;
  const columns = Math.max(1, Math.floor((widthForAll + gap) / (WIDTH_MIN_PX + gap)));
  const width = Math.max(0, Math.floor((widthForAll - gap * (columns - 1)) / columns));
  return { width, height: width, scrolls: true };
}
