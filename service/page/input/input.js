// The input: a file that is dropped, pasted or picked, an example, a drawing, or numbers. It is another one from the moment
// that it changes, and pending until what it is is known.

import { byId, el, show } from "../dom.js";
import { DIGITS, DRAWINGS, fetched } from "./examples.js";
import { filesOf } from "./dropped.js";
import { numbersBox } from "./numbers.js";
import { isMany } from "./pack.js";
import { NUMBERS, isRow, rowFields } from "./row.js";
import { DRAWING, sketchpad } from "./sketch.js";
import { isImage, isSketch, newInput, on, severalOf, state, tell, textOf } from "../state.js";
import { seenPicture } from "../results/seen.js";
import { severalInputs } from "./several.js";
import { TEXT, textBox } from "./text.js";

const OPENING = 4; // of the digits

let built = 0; // for how many models there have been fields
let pad = null;
let offerNumbers = null;
let dropped = null; // who of several inputs takes a file that is dropped

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
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    take([...event.clipboardData.files]);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    filesOf(event.dataTransfer).then(take);
  });
}

// What the page opens on: something that is explained.
export function offer() {
  if (isSketch(state.model)) example(DIGITS[OPENING], true);
  else if (isImage(state.model)) example(DRAWINGS[0], true);
  else if (offerNumbers) offerNumbers();
  else give(null);
}

// Several files, a folder, an archive or a table are many inputs.
function take(files) {
  if (!files.length) return;
  if (files.length > 1 || files[0].webkitRelativePath || isMany(files[0])) return tell("many", files);
  if (dropped) return dropped(files[0]);
  give({ blob: files[0], name: files[0].name || "pasted.png" });
}

const drawing = (give) => ({
  begun: () => {
    if (state.input?.opening) pad.clear();
    give({ name: DRAWING, pending: true });
  },
  give,
  cleared: () => give(null),
});

// What a field gives late, when another model has been chosen since, is of no model.
function giver() {
  const mine = ++built;
  return (given) => mine === built && give(given);
}

function build() {
  const give = giver();
  const { model } = state;
  const place = byId("input");
  dropped = null;
  if (severalOf(model)) {
    const several = severalInputs(model, give);
    pad = null;
    [offerNumbers, dropped] = [several.offer, several.drop];
    return place.replaceChildren(several.element, el("div", { id: "seen" }));
  }
  if (textOf(model)) {
    const box = textBox(textOf(model), (text) => give(text === null ? { name: TEXT, pending: true } : { text, name: TEXT }));
    pad = null;
    offerNumbers = box.offer;
    return place.replaceChildren(box.element, el("div", { id: "seen" }));
  }
  pad = isSketch(model) ? sketchpad(model, drawing(give)) : null;
  const typed = isImage(model) ? null : isRow(model) ? rowFields(model, numbersTo(give)) : numbersBox(model.input, numbersTo(give));
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
    onchange: () => take([...file.files]),
  });
  const what = isImage(model) ? "Choose an image" : "Choose a .npy or .safetensors file";
  return el(
    "p",
    { class: "pick" },
    el("label", { for: "file" }, what, el("small", {}, ", or drop or paste one anywhere")),
    file,
  );
}

function examples(model) {
  const given = isSketch(model) ? DIGITS : DRAWINGS;
  const buttons = given.map((one) =>
    el(
      "button",
      { type: "button", class: "example", "aria-label": `Example: ${one.label}`, onclick: () => example(one, false) },
      el("img", { src: `/page/pictures/${one.file}`, alt: "", width: 28, height: 28 }),
    ),
  );
  return el("p", { class: "examples", role: "group", "aria-label": "Examples" }, buttons);
}

const example = ({ file, label }, opening) => giveLater(label, fetched({ file, label }), opening);

const numbersTo = (give) => (shape, data) =>
  give(data ? { tensor: { shape, data }, name: NUMBERS } : { name: NUMBERS, pending: true });
