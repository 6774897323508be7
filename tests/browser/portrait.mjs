// A camera that shows a person: a drawing that sways and blinks, filmed by Chromium's fake camera from an .mjpeg file.

import { writeFileSync } from "node:fs";
import { launch } from "./chromium.mjs";

const [WIDTH, HEIGHT] = [1280, 720];
/** The fake camera plays 30 pictures a second and begins again: two seconds that end where they began. */
const PICTURES = 60;
const DRAWN_EVERY = 3;
const BLINKS_FROM = 42;

export const LOOKS = {
  alice: { wall: "#eccbb0", skin: "#e8b593", shade: "#d49a78", hair: "#4a2c23", shirt: "#2f6f6a", plant: "#5f7f57", long: true },
  bob: { wall: "#b9cfdd", skin: "#9c6a49", shade: "#84563a", hair: "#221a18", shirt: "#d9a441", plant: "#47705f", long: false },
};

/** Draws the pictures in a browser of its own and writes them to `file`. */
export async function writePortrait(file, look) {
  const browser = await launch({ devices: false });
  const page = await browser.newPage({ viewport: { width: WIDTH, height: HEIGHT } });
  const pictures = [];
  for (let n = 0; n < PICTURES; n += DRAWN_EVERY) {
    await page.setContent(`<style>body{margin:0}svg{display:block}</style>${draw(look, n)}`);
    const picture = await page.screenshot({ type: "jpeg", quality: 88 });
    pictures.push(...Array(DRAWN_EVERY).fill(picture));
  }
  await browser.close();
  writeFileSync(file, Buffer.concat(pictures));
}

function draw(look, n) {
  const turn = (2 * Math.PI * n) / PICTURES;
  const [x, y] = [7 * Math.sin(turn), 3 * Math.sin(2 * turn)];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 1280 720">
    <defs>
      <filter id="far"><feGaussianBlur stdDeviation="9"/></filter>
    </defs>
    <rect width="1280" height="720" fill="${look.wall}"/>
    ${room(look)}
    <g transform="translate(${640 + x / 2} 0)">${body(look)}</g>
    <g transform="translate(${640 + x} ${y}) rotate(${x / 5} 0 420)">${head(look, n >= BLINKS_FROM && n < BLINKS_FROM + DRAWN_EVERY, turn)}</g>
  </svg>`;
}

/** What stands behind the person, out of focus. */
function room({ plant }) {
  return `<g filter="url(#far)">
    <rect x="90" y="70" width="250" height="320" rx="10" fill="#fff" opacity=".55"/>
    <path d="M215 70v320M90 230h250" stroke="#8a97a0" stroke-width="8" opacity=".45"/>
    <rect x="900" y="250" width="330" height="16" fill="#6b4a35" opacity=".7"/>
    ${[0, 1, 2, 3, 4].map((n) => `<rect x="${920 + n * 34}" y="${160 - (n % 3) * 16}" width="26" height="${90 + (n % 3) * 16}" rx="3" fill="${["#8d4f43", "#d7b36a", "#48617a", "#e6e0d3", "#6f8a72"][n]}" opacity=".8"/>`).join("")}
    <g transform="translate(1165 250)"><rect x="-34" y="-54" width="68" height="54" rx="8" fill="#b8694a"/>
      ${[-60, -30, 0, 30, 60].map((angle) => `<ellipse cy="-105" rx="15" ry="62" fill="${plant}" transform="rotate(${angle} 0 -50)"/>`).join("")}</g>
  </g>`;
}

function body({ shirt, skin, shade }) {
  return `<path d="M-330 730C-320 600-215 560-90 540h180c125 20 230 60 240 190z" fill="${shirt}"/>
    <path d="M-90 540c20 60 160 60 180 0z" fill="#fff" opacity=".22"/>
    <path d="M-58 430h116v100c-20 44-96 44-116 0z" fill="${shade}"/>
    <path d="M-58 500c30 40 86 40 116 0v24c-20 44-96 44-116 0z" fill="${skin}"/>`;
}

function head({ skin, shade, hair, long }, blinks, turn) {
  const eye = (x) =>
    blinks
      ? `<path d="M${x - 15} 322h30" stroke="#3a2a24" stroke-width="5" stroke-linecap="round"/>`
      : `<ellipse cx="${x}" cy="321" rx="17" ry="12" fill="#fff"/><circle cx="${x}" cy="321" r="9" fill="#3a2a24"/><circle cx="${x + 3}" cy="318" r="3" fill="#fff"/>`;
  const open = 9 + 7 * Math.abs(Math.sin(3 * turn));
  return `<ellipse cy="292" rx="133" ry="112" fill="${hair}"/>
    ${long ? `<path d="M-158 330C-175 120 175 120 158 330c4 90 14 140 34 190-60 30-100-10-110-60h-164c-10 50-50 90-110 60 20-50 30-100 34-190z" fill="${hair}"/>` : ""}
    <ellipse cx="-128" cy="335" rx="20" ry="34" fill="${shade}"/><ellipse cx="128" cy="335" rx="20" ry="34" fill="${shade}"/>
    <path d="M-128 300C-128 170 128 170 128 300c0 110-50 190-128 190S-128 410-128 300z" fill="${skin}"/>
    ${long ? `<path d="M-134 320C-150 150-20 150 30 190c60 10 100 50 104 130-30-40-70-66-110-92-40 40-110 40-158 92z" fill="${hair}"/>` : `<path d="M-134 318C-158 140 158 140 134 318c-6-24-8-50-20-72q-18-28-44-36-70 18-140 0-26 8-44 36c-12 22-14 48-20 72z" fill="${hair}"/>`}
    <path d="M-78 ${288}q28-16 54 0M24 ${288}q28-16 54 0" stroke="${hair}" stroke-width="9" fill="none" stroke-linecap="round"/>
    ${eye(-50)}${eye(50)}
    <path d="M-4 330q-14 42 2 50q10 4 20 0" stroke="${shade}" stroke-width="6" fill="none" stroke-linecap="round"/>
    <path d="M-46 412q46 ${open + 26} 92 0q-46 ${open / 3} -92 0z" fill="#7d2f2c"/><path d="M-40 414q40 12 80 0l-4 6q-36 10-72 0z" fill="#fff"/>
    <circle cx="-84" cy="386" r="22" fill="#d9695a" opacity=".16"/><circle cx="84" cy="386" r="22" fill="#d9695a" opacity=".16"/>`;
}
