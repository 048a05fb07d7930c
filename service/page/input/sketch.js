// A pad to draw on, white on black, for models of small grey images. With the keyboard: arrows move the pen, space lowers it.

import { el, pngOf } from "../dom.js";

export const DRAWING = "drawing.png";
const SIDE = 280;
const BRUSH = 22;
const PAUSE = 150;
const FILLED = 20 / 28; // as the digits of MNIST: in a box of 20 of 28 pixels, centred by mass

// Tells when a stroke begins, gives what was drawn when it ends; `put` lays a picture there, to be drawn on.
export function sketchpad(model, { begun, give, cleared }) {
  const canvas = el("canvas", {
    id: "sketch",
    width: SIDE,
    height: SIDE,
    tabindex: 0,
    role: "application",
    "aria-label": "Drawing pad: arrow keys move the pen, space lowers and lifts it, delete clears",
  });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const at = { x: SIDE / 2, y: SIDE / 2, down: false };
  const centre = el("input", { id: "centre", type: "checkbox", checked: true, onchange: () => finish() });
  let timer = 0;

  const clear = () => {
    clearTimeout(timer);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, SIDE, SIDE);
  };
  const wipe = () => {
    clear();
    cleared();
  };
  const stroke = (x, y) => {
    clearTimeout(timer);
    pen.strokeStyle = "#fff";
    pen.lineWidth = BRUSH;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(at.x, at.y);
    pen.lineTo(x, y);
    pen.stroke();
    Object.assign(at, { x, y });
  };
  const finish = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const blob = small(canvas, model.input.shape, centre.checked);
      if (blob) give({ blob, name: DRAWING });
      else cleared();
    }, PAUSE);
  };
  const lowerOrLift = () => {
    at.down = !at.down;
    if (!at.down) return finish();
    begun();
    stroke(at.x, at.y);
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    [at.x, at.y] = place(event);
    at.down = true;
    begun();
    stroke(at.x, at.y);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!at.down || !event.buttons) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) stroke(...place(one));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (at.down) finish();
      at.down = false;
    });
  }
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const to = step && [0, 1].map((axis) => Math.max(0, Math.min(SIDE, [at.x, at.y][axis] + (step[axis] * BRUSH) / 2)));
    if (to && at.down) stroke(...to);
    else if (to) [at.x, at.y] = to;
    else if (event.key === " ") lowerOrLift();
    else if (event.key === "Delete" || event.key === "Backspace") wipe();
    else return;
    event.preventDefault();
  });
  clear();
  const element = el(
    "div",
    { class: "pad" },
    canvas,
    el("p", {}, el("label", {}, centre, " centred"), el("button", { type: "button", onclick: wipe }, "Clear")),
  );
  return { element, clear, put: (picture) => pen.drawImage(picture, 0, 0, SIDE, SIDE) };
}

// The drawing at the model's own size as a PNG; null where nothing is drawn.
function small(canvas, [, height, width], centred) {
  const source = centred ? framed(canvas) : { x: 0, y: 0, side: SIDE };
  if (!source) return null;
  const out = el("canvas", { width, height });
  const pen = out.getContext("2d");
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(canvas, source.x, source.y, source.side, source.side, 0, 0, width, height);
  return pngOf(out);
}

// The square that holds the strokes with the margin of the training images, its middle near their centre of mass.
function framed(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, SIDE, SIDE);
  const box = { left: SIDE, top: SIDE, right: -1, bottom: -1 };
  let [mass, x, y] = [0, 0, 0];
  for (let i = 0; i < SIDE * SIDE; i++) {
    const level = data[4 * i];
    if (!level) continue;
    const [column, row] = [i % SIDE, Math.floor(i / SIDE)];
    mass += level;
    x += level * column;
    y += level * row;
    box.left = Math.min(box.left, column);
    box.right = Math.max(box.right, column);
    box.top = Math.min(box.top, row);
    box.bottom = Math.max(box.bottom, row);
  }
  if (!mass) return null;
  const side = Math.max(box.right - box.left, box.bottom - box.top, BRUSH) / FILLED;
  const within = (middle, least, most) => Math.max(most - side, Math.min(least, middle - side / 2));
  return { x: within(x / mass, box.left, box.right), y: within(y / mass, box.top, box.bottom), side };
}
