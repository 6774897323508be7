// A camera whose pictures carry their number: a .y4m file for Chromium to film, and the way to read the number back.
//
// A picture is 8 x 2 blocks, black or white: ten bits of the number, then six of a check (number mod 61). Blocks survive the encoder.

import { openSync, closeSync, writeSync } from "node:fs";

export const PICTURES = 1024;
const [WIDTH, HEIGHT, COLUMNS, ROWS] = [320, 180, 8, 2];
const NUMBER_BITS = 10;
const CHECK = 61;
const [BLACK, WHITE, GREY] = [16, 235, 128];

/** Writes all pictures at 15 a second; the file repeats after 68 s. */
export function writeNumberedCamera(file) {
  const out = openSync(file, "w");
  writeSync(out, `YUV4MPEG2 W${WIDTH} H${HEIGHT} F15:1 Ip A1:1 C420\n`);
  for (let number = 0; number < PICTURES; number += 1) {
    writeSync(out, "FRAME\n");
    writeSync(out, picture(number));
  }
  closeSync(out);
}

function picture(number) {
  const bits = number | ((number % CHECK) << NUMBER_BITS);
  const planes = Buffer.alloc(WIDTH * HEIGHT * 1.5, GREY);
  for (let y = 0; y < HEIGHT; y += 1) {
    for (let column = 0; column < COLUMNS; column += 1) {
      const bit = Math.floor((y * ROWS) / HEIGHT) * COLUMNS + column;
      const from = y * WIDTH + (column * WIDTH) / COLUMNS;
      planes.fill((bits >> bit) & 1 ? WHITE : BLACK, from, from + WIDTH / COLUMNS);
    }
  }
  return planes;
}

/** The numbers of the next `count` pictures of `user` that `person`'s page shows, read from a canvas. */
export function readNumbers(person, user, count) {
  return person.page.evaluate(readInPage, [`[data-testid=tile-${user}] video`, count, { COLUMNS, ROWS, NUMBER_BITS, CHECK }]);
}

/** How far each number is ahead of the one before it, counted around the end of the file. */
export function steps(numbers) {
  return numbers.slice(1).map((number, n) => (number - numbers[n] + PICTURES) % PICTURES);
}

/** In the page: fails on a picture whose check does not fit. */
function readInPage([selector, count, { COLUMNS, ROWS, NUMBER_BITS, CHECK }]) {
  const video = document.querySelector(selector);
  const canvas = new OffscreenCanvas(COLUMNS * 20, ROWS * 20);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const isWhite = (bit) => {
    const [x, y] = [(bit % COLUMNS) * 20 + 10, Math.floor(bit / COLUMNS) * 20 + 10];
    return context.getImageData(x, y, 1, 1).data[1] > 128;
  };
  const read = () => {
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const bits = Array.from({ length: COLUMNS * ROWS }, (_, bit) => (isWhite(bit) ? 1 << bit : 0)).reduce((a, b) => a | b, 0);
    const number = bits & ((1 << NUMBER_BITS) - 1);
    if (number % CHECK !== bits >> NUMBER_BITS) throw new Error(`a picture cannot be read: ${bits.toString(2)}`);
    return number;
  };
  return new Promise((done, fail) => {
    const numbers = [];
    const next = () => {
      try {
        numbers.push(read());
      } catch (error) {
        return fail(error);
      }
      if (numbers.length === count) done(numbers);
      else video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  });
}
