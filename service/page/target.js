// What is explained of the model: a class, at one pixel of a segmentation, a channel; and what it is compared with.

import { byId, el, show } from "./dom.js";
import { countOf, isLone, labelOf, modelNamed, namedBy, on, sameTarget, shapeText, state, targetAsked, tell } from "./state.js";

export function beginTarget() {
  byId("more").open = matchMedia("(min-width: 56rem)").matches;
  on("model", targetFields);
  on("prediction", () => byId("compare").value === "class" && !byId("second").value && chooseCompare());
}

const isPlane = ({ output, outputs }) => output === "segmentation" && outputs.length === 3;

// The places of a segmentation as [height, width], of one of any size those of the input; null where there are none, or
// others, or it is not known.
export function placesOf(model) {
  if (!isPlane(model)) return null;
  const places = model.outputs.includes("*") ? state.prediction?.places : model.outputs.slice(1);
  return places ?? null;
}

export const classOfTarget = (target) => (target?.mask ? target.class : target);

// The class at the pixel that is chosen, or all over.
export function atPixel(target) {
  const { pixel, model } = state;
  if (!pixel || typeof target !== "number") return target;
  const [height, width] = placesOf(model) ?? [0, 0];
  if (pixel.x >= width || pixel.y >= height) return target; // of a larger input before
  const mask = Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => Number(x === pixel.x && y === pixel.y)),
  );
  return { class: target, mask };
}

export function choosePixel(pixel) {
  const places = placesOf(state.model);
  if (!places) return;
  const within = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value)));
  state.pixel = pixel && { x: within(pixel.x, places[1]), y: within(pixel.y, places[0]) };
  byId("pixel-x").value = state.pixel?.x ?? "";
  byId("pixel-y").value = state.pixel?.y ?? "";
  state.target = atPixel(classOfTarget(targetAsked()));
  if (state.compare?.target !== undefined)
    state.compare = { target: atPixel(classOfTarget(state.compare.target)) };
  tell("target");
}

function pixelFields(model) {
  if (!isPlane(model)) return [];
  const places = model.outputs.slice(1);
  const typed = () => {
    const [x, y] = ["pixel-x", "pixel-y"].map((id) => byId(id).valueAsNumber);
    if (Number.isFinite(x) && Number.isFinite(y)) choosePixel({ x, y });
  };
  const coordinate = (name, size) => [
    el("label", { for: `pixel-${name}` }, name),
    el("input", { id: `pixel-${name}`, type: "number", min: 0, max: size === "*" ? null : size - 1, step: 1, onchange: typed }),
  ];
  return [
    el(
    "div",
    { class: "pixel", role: "group", "aria-label": "One pixel" },
    el("p", { class: "faint" }, "Click a pixel of the input among the explanations, or name one; else all are explained."),
    el(
      "p",
      {},
      coordinate("x", places[1]),
      coordinate("y", places[0]),
      el("button", { type: "button", onclick: () => choosePixel(null) }, "All pixels"),
    ),
  ),
  ];
}

function targetFields() {
  const { model, models } = state;
  const known = el(
    "datalist",
    { id: "classes" },
    model.classes.map((_, index) => el("option", { value: labelOf(model, index) })),
  );
  const other = field("class", "Explain the class", {
    list: "classes",
    placeholder: "name or number",
    onchange: (event) => chooseClass(event.target),
  });
  const layers = el(
    "select",
    { id: "layer", onchange: chooseUnit },
    el("option", { value: "" }, "none"),
    model.layers.map(({ name, shape }) => el("option", { value: name }, `${name} (${shapeText(shape)})`)),
  );
  const channel = el("input", { id: "channel", type: "number", min: 0, value: 0, onchange: chooseUnit });
  const against = el(
    "select",
    { id: "compare", onchange: chooseCompare },
    el("option", { value: "" }, "nothing"),
    isLone(model) ? null : el("option", { value: "class" }, "another class"),
    models
      .filter(({ name }) => name !== model.name)
      .map((one) => el("option", { value: `model ${one.name}` }, `model ${one.name}`)),
  );
  const second = field("second", "Compared class", {
    list: "classes",
    placeholder: "name or number",
    onchange: chooseCompare,
  });
  second.hidden = true;
  other.hidden = isLone(model);
  byId("more").firstElementChild.textContent = isLone(model) ? "A comparison, a channel" : "Another class, a comparison, a channel";
  state.compare = null;
  state.pixel = null;
  byId("target").replaceChildren(
    known,
    other,
    el("p", { class: "field" }, el("label", { for: "compare" }, "Compare with"), against),
    second,
    ...pixelFields(model),
    el(
      "details",
      {},
      el("summary", {}, `A channel instead of ${isLone(model) ? "the output" : "a class"}`),
      el("p", { class: "field" }, el("label", { for: "layer" }, "Layer"), layers),
      el("p", { class: "field" }, el("label", { for: "channel" }, "Channel"), channel),
    ),
  );
}

const field = (id, label, attributes) =>
  el("p", { class: "field" }, el("label", { for: id }, label), el("input", { id, autocomplete: "off", ...attributes }));

// The index of what was typed; null and an error where it names no class.
function classOf(text) {
  const { model } = state;
  const wanted = text.trim().toLowerCase();
  const at = model.classes.findIndex((label, index) =>
    [label.toLowerCase(), labelOf(model, index).toLowerCase()].includes(wanted),
  );
  const index = at >= 0 ? at : /^\d+$/.test(wanted) ? Number(wanted) : -1;
  const count = countOf(model);
  const found = index >= 0 && index < count;
  show("target-error", found ? null : `${model.name} has no class “${text.trim()}”${count < Infinity ? `; it has ${count}` : ""}.`);
  return found ? index : null;
}

function chooseClass(input) {
  const found = input.value.trim() ? classOf(input.value) : null;
  if (input.value.trim() && found === null) return;
  state.target = found === null ? null : atPixel(found);
  tell("target");
}

function chooseUnit() {
  const layer = byId("layer").value;
  state.target = layer ? { layer, channel: byId("channel").valueAsNumber || 0 } : null;
  tell("target");
}

function chooseCompare() {
  const [kind, name] = byId("compare").value.split(/ (.*)/);
  const second = byId("second");
  second.parentElement.hidden = kind !== "class";
  if (kind === "class" && !second.value) {
    const next = state.prediction?.top.find(({ index }) => !sameTarget(namedBy(index), targetAsked()));
    if (next) second.value = labelOf(state.model, next.index);
  }
  if (kind === "class") {
    const found = second.value ? classOf(second.value) : null;
    state.compare = found === null ? null : { target: atPixel(found) };
  } else state.compare = kind === "model" ? { model: modelNamed(name) } : null;
  tell("compare");
}

// After a link was followed: the fields as what was restored.
export function showTarget() {
  const { compare } = state;
  byId("compare").value = !compare ? "" : compare.model ? `model ${compare.model.name}` : "class";
  byId("second").parentElement.hidden = compare?.target === undefined;
  if (compare?.target !== undefined) byId("second").value = labelOf(state.model, classOfTarget(compare.target));
}
