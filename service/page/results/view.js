// A picture that is looked into: all pictures on the page show the same part and the same pixel.

import { el } from "../dom.js";

const SIDE = 336;
const MOST = 16;
// A pixel is kept as a place of the whole, since models see at different sizes.
const view = { zoom: 1, x: 0.5, y: 0.5, pixel: null, pointed: false };
const pictures = new Set();

// A picture that is put in another's place beneath the pointer is not left by it.
document.addEventListener("pointermove", ({ target }) => {
  if (view.pointed && ![...pictures].some(({ canvas }) => canvas === target)) look(null);
});

export const clearPictures = () => pictures.clear();

// A canvas that shows `source.canvas`; its read-out tells `source.say(x, y)` of a pixel, else `source.rest`. A click, or
// Enter, is `source.choose` of the place, where there is that; `source.mark` is the place that was chosen.
export function picture(source, label, readout) {
  const scale = Math.max(1, Math.round(SIDE / Math.max(source.width, source.height)));
  const canvas = el("canvas", {
    width: source.width * scale,
    height: source.height * scale,
    tabindex: 0,
    role: "img",
    "aria-label": label,
    "aria-describedby": "keys",
  });
  const one = { canvas, source, readout };
  pictures.add(one);
  for (const name of ["pointermove", "pointerdown"])
    canvas.addEventListener(name, (event) => look(placeAt(one, event), true));
  canvas.addEventListener("pointerleave", () => look(null));
  if (source.choose) canvas.addEventListener("click", (event) => source.choose(placeAt(one, event)));
  canvas.addEventListener("dblclick", (event) => zoomTo(view.zoom > 1 ? 1 : 4, placeAt(one, event)));
  canvas.addEventListener("keydown", (event) => onKey(one, event));
  redraw(one);
  return one;
}

export function redraw(one) {
  draw(one);
  tellPixel(one);
}

function zoomTo(zoom, place) {
  view.zoom = Math.max(1, Math.min(MOST, zoom));
  const half = 0.5 / view.zoom;
  view.x = Math.max(half, Math.min(1 - half, place?.x ?? view.x));
  view.y = Math.max(half, Math.min(1 - half, place?.y ?? view.y));
  pictures.forEach(draw);
}

function look(pixel, pointed = false) {
  Object.assign(view, { pixel, pointed });
  pictures.forEach(redraw);
}

const part = (one) => ({
  left: (view.x - 0.5 / view.zoom) * one.source.width,
  top: (view.y - 0.5 / view.zoom) * one.source.height,
  width: one.source.width / view.zoom,
  height: one.source.height / view.zoom,
});

function placeAt(one, event) {
  const box = one.canvas.getBoundingClientRect();
  const { left, top, width, height } = part(one);
  return {
    x: (left + ((event.clientX - box.left) / box.width) * width) / one.source.width,
    y: (top + ((event.clientY - box.top) / box.height) * height) / one.source.height,
  };
}

const clamped = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value)));

function onKey(one, event) {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const now = view.pixel ?? { x: view.x, y: view.y };
  if (step) {
    const { width, height } = one.source;
    const x = (clamped(now.x * width + step[0], width) + 0.5) / width;
    const y = (clamped(now.y * height + step[1], height) + 0.5) / height;
    look({ x, y });
    if (view.zoom > 1) zoomTo(view.zoom, { x, y });
  } else if (event.key === "Enter" && one.source.choose) one.source.choose(now);
  else if (event.key === "+" || event.key === "=") zoomTo(view.zoom * 2, now);
  else if (event.key === "-") zoomTo(view.zoom / 2, now);
  else if (event.key === "Escape") zoomTo(1);
  else return;
  event.preventDefault();
}

function draw(one) {
  const { canvas, source } = one;
  const pen = canvas.getContext("2d");
  const { left, top, width, height } = part(one);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(source.canvas, left, top, width, height, 0, 0, canvas.width, canvas.height);
  for (const place of [source.mark, view.pixel]) if (place) frame(pen, source, place, { left, top, size: canvas.width / width });
}

function frame(pen, source, place, { left, top, size }) {
  const x = (clamped(place.x * source.width, source.width) - left) * size;
  const y = (clamped(place.y * source.height, source.height) - top) * size;
  pen.lineWidth = 2;
  pen.strokeStyle = "#000";
  pen.strokeRect(x - 1, y - 1, size + 2, size + 2);
  pen.strokeStyle = "#fff";
  pen.strokeRect(x + 1, y + 1, Math.max(1, size - 2), Math.max(1, size - 2));
}

function tellPixel(one) {
  const { width, height } = one.source;
  if (!view.pixel) one.readout.textContent = one.source.rest;
  else {
    const [x, y] = [clamped(view.pixel.x * width, width), clamped(view.pixel.y * height, height)];
    one.readout.textContent = `x ${x}, y ${y}: ${one.source.say(x, y)}`;
  }
}
