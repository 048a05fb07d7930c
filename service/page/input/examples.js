// The pictures that the page comes with.

import { el, pngOf } from "../dom.js";

export const DIGITS = Array.from({ length: 10 }, (_, digit) => ({ file: `digit-${digit}.png`, label: String(digit) }));
export const DRAWINGS = ["goldfish", "clock", "traffic_light", "balloon"].map((name) => ({
  file: `${name}.svg`,
  label: name.replace("_", " "),
}));

// {blob, name} of one.
export async function fetched({ file, label }) {
  const blob = await (await fetch(`/page/pictures/${file}`)).blob();
  return file.endsWith(".svg") ? { blob: await rastered(blob), name: `${label}.png` } : { blob, name: file };
}

// The API takes no SVG: what it means depends on who draws it.
async function rastered(blob) {
  const image = new Image(256, 256);
  image.src = URL.createObjectURL(blob);
  await image.decode();
  const canvas = el("canvas", { width: 256, height: 256 });
  canvas.getContext("2d").drawImage(image, 0, 0, 256, 256);
  URL.revokeObjectURL(image.src);
  return pngOf(canvas);
}
