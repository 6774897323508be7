/** Moving pictures for stories: a gradient with a figure, as a camera would send it. */

const HUES = [28, 160, 262, 205, 340, 96];

export function paintedTrack(seed: number): MediaStreamTrack | undefined {
  const canvas = document.createElement("canvas");
  canvas.width = 640;
  canvas.height = 360;
  const pen = canvas.getContext("2d");
  if (!pen) return undefined;
  pen.scale(2 / 3, 2 / 3);
  let turn = 0;
  setInterval(() => paint(pen, seed, turn++), 500);
  paint(pen, seed, turn);
  return canvas.captureStream(2).getVideoTracks()[0];
}

function paint(pen: CanvasRenderingContext2D, seed: number, turn: number): void {
  const hue = HUES[seed % HUES.length] ?? 0;
  const light = pen.createLinearGradient(0, 0, 960, 540);
  light.addColorStop(0, `hsl(${hue} 32% 62%)`);
  light.addColorStop(1, `hsl(${hue + 40} 30% 30%)`);
  pen.fillStyle = light;
  pen.fillRect(0, 0, 960, 540);
  const sway = Math.sin(turn / 6 + seed) * 8;
  pen.fillStyle = `hsl(${hue + 10} 26% 22%)`;
  pen.beginPath();
  pen.ellipse(480 + sway, 560, 230, 190, 0, 0, 7);
  pen.fill();
  pen.fillStyle = `hsl(${hue} 34% 74%)`;
  pen.beginPath();
  pen.ellipse(480 + sway, 270, 92, 112, 0, 0, 7);
  pen.fill();
}
