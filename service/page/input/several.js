// Several inputs side by side, a small block for each: what is sent is all of them.

import { el } from "../dom.js";
import { DRAWINGS, fetched } from "./examples.js";
import { numbersBox } from "./numbers.js";
import { isRow, rowFields } from "./row.js";
import { LINES, textBox } from "./text.js";

const FILES = ".npy,.safetensors";
export const INPUTS = "inputs";

// {element, offer, drop}: `give` is told {several: {name: {blob} | {text} | {tensor}}} once there is one for each.
export function severalInputs({ inputs }, give) {
  const values = {};
  const names = Object.keys(inputs);
  const blocks = names.map((name, at) => {
    const changed = (value) => {
      values[name] = value;
      const whole = names.every((one) => values[one]);
      give(whole ? { several: { ...values }, name: INPUTS } : { name: INPUTS, pending: true });
    };
    return blockOf(name, inputs[name], changed, at);
  });
  const element = el("div", { class: "several" }, blocks.map((block) => block.element));
  const taker = blocks.find((block) => block.drop);
  return { element, offer: () => blocks.forEach((block) => block.offer?.()), drop: taker?.drop ?? null };
}

function blockOf(name, spec, changed, at) {
  const id = `in-${at}`;
  const own = bodyOf(spec, changed, id, at);
  const kind = spec.held ? `${spec.kind}, context` : spec.kind;
  const element = el(
    "section",
    { class: "block", "aria-labelledby": `${id}-name` },
    el("h3", { id: `${id}-name` }, name, el("small", {}, ` ${kind}`)),
    own.element,
  );
  return { ...own, element };
}

function bodyOf(spec, changed, id, at) {
  if (spec.kind === "text") {
    const box = textBox(spec, (text) => changed(text === null ? null : { text }), id, []);
    return { element: box.element, offer: () => box.offer(LINES[at % LINES.length]) };
  }
  if (spec.kind === "image") return imageBlock(changed, id, at);
  const give = (shape, data) => changed(data && { tensor: { shape, data, ...(spec.dtype === "int64" ? { dtype: "int64" } : {}) } });
  const row = spec.dtype !== "int64" && isRow({ input: spec });
  const typed = row ? rowFields({ input: spec }, give, id) : numbersBox(spec, give, id);
  const picked = filePicker(FILES, changed, `${id}-file`);
  return { element: el("div", {}, typed?.element, picked.element), offer: typed?.offer };
}

// A picture is shown as it was picked; what the model saw of it is in the explanation.
function imageBlock(changed, id, at) {
  const shown = el("img", { alt: "", class: "picked", hidden: true });
  const take = (given) => {
    if (shown.src) URL.revokeObjectURL(shown.src);
    Object.assign(shown, { src: URL.createObjectURL(given.blob), hidden: !given.blob.type.startsWith("image/") });
    changed(given);
  };
  const picked = filePicker(`image/*,${FILES}`, take, `${id}-file`);
  return {
    element: el("div", {}, shown, picked.element),
    offer: async () => {
      changed(null);
      take(await fetched(DRAWINGS[at % DRAWINGS.length]));
    },
    drop: (file) => take({ blob: file, name: file.name || "pasted.png" }),
  };
}

function filePicker(accept, take, id) {
  const file = el("input", {
    id,
    type: "file",
    accept,
    onchange: () => file.files.length && take({ blob: file.files[0], name: file.files[0].name }),
  });
  return { element: el("p", { class: "pick" }, el("label", { for: id }, "Or a file"), file) };
}
