// A row as named fields, each with the range that its card tells.

import { el, number, show } from "../dom.js";

export const NUMBERS = "numbers";
const MOST = 64;
const PAUSE = 150;

export const isRow = ({ input }) => input.shape.length === 1 && Number.isInteger(input.shape[0]) && input.shape[0] <= MOST;

const at = (range, index) => (Array.isArray(range) ? (range.length > 1 ? range[index] : range[0]) : range);

export function rowFields({ input }, give, id = "row") {
  const { shape, names, low, high } = input;
  const fields = Array.from({ length: shape[0] }, (_, index) =>
    field(`${id}-${index}`, names[index] ?? `number ${index}`, at(low, index), at(high, index), changed),
  );
  let timer = 0;
  function changed() {
    give(shape, null); // until the hand rests
    clearTimeout(timer);
    timer = setTimeout(settled, PAUSE);
  }
  function settled() {
    const data = fields.map((one) => one.read());
    const wrong = fields.filter((_, index) => data[index] === null).map((one) => one.name);
    if (!wrong.length) give(shape, data);
    else if (element.isConnected) show("input-error", `A number is missing: ${wrong.join(", ")}.`);
  }
  const offer = () => {
    fields.forEach((one, index) => one.offer(index));
    settled();
  };
  const element = el(
    "div",
    { class: "row", role: "group", "aria-label": "The row" },
    fields.map((one) => one.element),
  );
  return { element, offer };
}

function field(id, name, low, high, changed) {
  const ranged = Number.isFinite(low) && Number.isFinite(high) && low < high;
  const input = el("input", { id, type: "number", step: "any", inputmode: "decimal", autocomplete: "off" });
  const slider = ranged
    ? el("input", { type: "range", min: low, max: high, step: (high - low) / 100, "aria-label": `${name}, as a slider` })
    : null;
  const range = ranged ? `${number(low)} to ${number(high)}` : null;
  if (range) input.setAttribute("aria-describedby", `${id}-range`);
  const write = (value) => {
    const short = Number(value.toPrecision(4));
    input.value = Math.abs(value) < 1e6 ? short : short.toExponential().replace("e+", "e");
    if (slider) slider.value = value;
  };
  input.addEventListener("input", () => {
    if (slider) slider.value = input.value;
    changed();
  });
  slider?.addEventListener("input", () => {
    write(slider.valueAsNumber);
    changed();
  });
  return {
    name,
    element: el(
      "p",
      { class: "named" },
      el("label", { for: id, title: name }, name.replaceAll("_", " ")),
      input,
      slider,
      range && el("small", { id: `${id}-range` }, range),
    ),
    read: () => (Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : null),
    offer: (place) => {
      const share = [0.7, 0.3, 0.6, 0.4][place % 4];
      write(ranged ? low + share * (high - low) : 5 * (share - 0.5));
    },
  };
}
