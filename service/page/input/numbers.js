// Numbers as text: of a tensor of one shape all of them, of ids or a series of any length as many as there are.

import { el, show } from "../dom.js";
import { shapeText } from "../state.js";

const MOST_TYPED = 4096;
const OFFERED = 8; // of any length

// {element, offer}; `give` is told (shape, data), and (shape, null) from the first key on. Null where one cannot type it.
export function numbersBox(spec, give, id = "numbers") {
  const { shape, names } = spec;
  const open = shape.includes("*");
  if (open && shape.length > 1) return null;
  const count = open ? null : shape.reduce((product, size) => product * size, 1);
  const box = el("textarea", { id, rows: 4, spellcheck: "false", "aria-describedby": `${id}-about` });
  const whole = spec.dtype === "int64";
  const how = open ? (spec.length ? `Up to ${spec.length}` : "As many as there are") : count;
  const what = whole ? "whole numbers" : "numbers";
  const about = `${how} ${what}, row by row, for the shape ${shapeText(shape)}${names.length ? `: ${names.join(", ")}` : ""}`;
  const use = () => {
    const data = box.value
      .split(/[\s,;[\]]+/)
      .filter(Boolean)
      .map(Number);
    if ((open ? !data.length : data.length !== count) || data.some(Number.isNaN))
      show("input-error", `The model takes ${about}; these are ${data.length}.`);
    else give(open ? [data.length] : shape, data);
  };
  box.addEventListener("input", () => give(shape, null));
  const offered = () => {
    const last = open ? OFFERED : shape.at(-1);
    const wave = (i) => Math.sin((6 * Math.PI * (i % last) * (1 + Math.floor(i / last))) / last).toFixed(3);
    const one = (_, i) => (spec.held ? 1 : whole ? 1 + (i % 3) : wave(i));
    box.value = Array.from({ length: count ?? OFFERED }, one).join(" ");
    use();
  };
  const element = el(
    "div",
    { class: "numbers" },
    el("label", { for: id }, "Numbers"),
    el("small", { id: `${id}-about` }, about),
    box,
    el("button", { type: "button", onclick: use }, "Take these"),
  );
  return { element, offer: (count ?? OFFERED) <= MOST_TYPED ? offered : null };
}
