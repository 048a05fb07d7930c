// The input: a file that is dropped, pasted or picked, an example, a drawing, or numbers. It is another one from the moment
// that it changes, and pending until what it is is known.

import { byId, el, pngOf, show } from "./dom.js";
import { NUMBERS, isRow, rowFields } from "./row.js";
import { DRAWING, sketchpad } from "./sketch.js";
import { isImage, isSketch, newInput, on, state, tell, textOf } from "./state.js";
import { seenPicture } from "./seen.js";
import { textBox } from "./text.js";

const DIGITS = Array.from({ length: 10 }, (_, digit) => ({ file: `digit-${digit}.png`, label: String(digit) }));
const DRAWINGS = ["goldfish", "clock", "traffic_light", "balloon"].map((name) => ({
  file: `${name}.svg`,
  label: name.replace("_", " "),
}));
const OPENING = 4; // of the digits
const MOST_TYPED = 4096;

let pad = null;
let offerNumbers = null;

export function give(given) {
  show("input-error", null);
  state.input = given && newInput(given);
  tell("input");
}

// One that is known later, unless another is given first.
async function giveLater(name, coming, opening) {
  const pending = newInput({ name, pending: true, opening });
  state.input = pending;
  show("input-error", null);
  tell("input");
  const given = await coming;
  if (state.input === pending) give({ ...given, opening });
}

export function beginInput() {
  on("model", build);
  on("restored", () => pad?.clear());
  on("input", () => {
    byId("seen").replaceChildren(...seenPicture());
    if (pad && state.input?.name !== DRAWING) pad.clear();
  });
  on("seen", () => {
    byId("seen").replaceChildren(...seenPicture());
    if (pad && state.input?.pixels && state.input.name !== DRAWING) pad.put(state.input.pixels.canvas);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files, event));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}

// What the page opens on: something that is explained.
export function offer() {
  if (isSketch(state.model)) example(DIGITS[OPENING], true);
  else if (isImage(state.model)) example(DRAWINGS[0], true);
  else if (offerNumbers) offerNumbers();
  else give(null);
}

function take(files, event) {
  if (!files.length) return;
  event?.preventDefault();
  give({ blob: files[0], name: files[0].name || "pasted.png" });
}

const drawing = {
  begun: () => {
    if (state.input?.opening) pad.clear();
    give({ name: DRAWING, pending: true });
  },
  give,
  cleared: () => give(null),
};

function build() {
  const { model } = state;
  const place = byId("input");
  if (textOf(model)) {
    const box = textBox(textOf(model), (text) => give({ text, name: text }));
    pad = null;
    offerNumbers = box.offer;
    return place.replaceChildren(box.element, el("div", { id: "seen" }));
  }
  pad = isSketch(model) ? sketchpad(model, drawing) : null;
  const typed = isImage(model) ? null : isRow(model) ? rowFields(model, giveNumbers) : numbers(model);
  offerNumbers = typed?.offer ?? null;
  place.replaceChildren(
    el(
      "div",
      { class: "input" },
      pad?.element,
      typed?.element,
      el("div", { class: "side" }, isImage(model) ? examples(model) : null, picker(model), el("div", { id: "seen" })),
    ),
  );
  byId("seen").replaceChildren(...seenPicture());
}

function picker(model) {
  const file = el("input", {
    id: "file",
    type: "file",
    accept: isImage(model) ? "image/*,.npy,.safetensors" : ".npy,.safetensors",
    onchange: () => take(file.files),
  });
  const what = isImage(model) ? "An image" : "A .npy or .safetensors file";
  return el(
    "p",
    { class: "pick" },
    el("label", { for: "file" }, what, el("small", {}, " drop or paste it anywhere, or")),
    file,
  );
}

function examples(model) {
  const given = isSketch(model) ? DIGITS : DRAWINGS;
  const buttons = given.map((one) =>
    el(
      "button",
      { type: "button", class: "example", "aria-label": `Example: ${one.label}`, onclick: () => example(one, false) },
      el("img", { src: `/page/${one.file}`, alt: "", width: 28, height: 28 }),
    ),
  );
  return el("p", { class: "examples", role: "group", "aria-label": "Examples" }, buttons);
}

const example = ({ file, label }, opening) => giveLater(label, fetched(file, label), opening);

async function fetched(file, label) {
  const blob = await (await fetch(`/page/${file}`)).blob();
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

const giveNumbers = (shape, data) =>
  give(data ? { tensor: { shape, data }, name: NUMBERS } : { name: NUMBERS, pending: true });

function numbers(model) {
  const { shape, names } = model.input;
  const count = shape.reduce((product, size) => product * size, 1);
  const box = el("textarea", { id: "numbers", rows: 4, spellcheck: "false", "aria-describedby": "numbers-about" });
  const about = `${count} numbers, row by row, for the shape ${shape.join(" × ")}${names.length ? `: ${names.join(", ")}` : ""}`;
  const use = () => {
    const data = box.value
      .split(/[\s,;[\]]+/)
      .filter(Boolean)
      .map(Number);
    if (data.length !== count || data.some(Number.isNaN))
      show("input-error", `The model takes ${about}; these are ${data.length}.`);
    else giveNumbers(shape, data);
  };
  box.addEventListener("input", () => giveNumbers(shape, null));
  const offered = () => {
    const wave = (i) => Math.sin((6 * Math.PI * (i % shape.at(-1)) * (1 + Math.floor(i / shape.at(-1)))) / shape.at(-1));
    box.value = Array.from({ length: count }, (_, i) => wave(i).toFixed(3)).join(" ");
    use();
  };
  const element = el(
    "div",
    { class: "numbers" },
    el("label", { for: "numbers" }, "Numbers"),
    el("small", { id: "numbers-about" }, about),
    box,
    el("button", { type: "button", onclick: use }, "Take these"),
  );
  return { element, offer: count <= MOST_TYPED ? offered : null };
}
