// The input: a file that is dropped, pasted or picked, an example, a drawing, or numbers.

import { byId, el, pngOf, show } from "./dom.js";
import { DRAWING, sketchpad } from "./sketch.js";
import { isImage, isSketch, on, state, tell } from "./state.js";
import { seenPicture } from "./seen.js";

const DIGITS = Array.from({ length: 10 }, (_, digit) => ({ file: `digit-${digit}.png`, label: String(digit) }));
const DRAWINGS = ["clock", "traffic_light", "goldfish", "balloon"].map((name) => ({
  file: `${name}.svg`,
  label: name.replace("_", " "),
}));

let pad = null;

export function give(input) {
  show("input-error", null);
  state.input = input;
  tell("input");
}

export function beginInput() {
  on("model", build);
  on("seen", () => {
    byId("seen").replaceChildren(...seenPicture());
    if (pad && state.input.name !== DRAWING) pad.put(state.input.pixels.canvas);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files, event));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}

function take(files, event) {
  if (!files.length) return;
  event?.preventDefault();
  give({ blob: files[0], name: files[0].name || "pasted.png" });
}

function build() {
  const { model } = state;
  const place = byId("input");
  pad = isSketch(model) ? sketchpad(model, give) : null;
  place.replaceChildren(
    el(
      "div",
      { class: "input" },
      pad?.element,
      isImage(model) ? null : numbers(model),
      el("div", { class: "side" }, picker(model), isImage(model) ? examples(model) : null, el("div", { id: "seen" })),
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
  const buttons = given.map(({ file, label }) =>
    el(
      "button",
      { type: "button", class: "example", "aria-label": `Example: ${label}`, onclick: () => example(file, label) },
      el("img", { src: `/page/${file}`, alt: "", width: 28, height: 28 }),
    ),
  );
  return el("p", { class: "examples", role: "group", "aria-label": "Examples" }, buttons);
}

async function example(file, label) {
  const blob = await (await fetch(`/page/${file}`)).blob();
  give(file.endsWith(".svg") ? { blob: await rastered(blob), name: `${label}.png` } : { blob, name: file });
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
    else give({ tensor: { shape, data }, name: "numbers" });
  };
  return el(
    "div",
    { class: "numbers" },
    el("label", { for: "numbers" }, "Numbers"),
    el("small", { id: "numbers-about" }, about),
    box,
    el("button", { type: "button", onclick: use }, "Take these"),
  );
}
