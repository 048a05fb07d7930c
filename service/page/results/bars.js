// An attribution of a row: a bar for each feature, with its name and what the model was given.

import { el, number } from "../dom.js";
import { shadeOf } from "./heat.js";

// The values of a row as a plane of one line.
export const rowOf = ({ data }, { names }) => ({
  width: data.length,
  height: 1,
  values: Float32Array.from(data),
  names: Array.from(data, (_, at) => names[at] ?? `number ${at}`),
});

// {element, paint}: `paint` gives the bars the lengths and colours of {values, limit, signed}.
export function bars({ names, values }, given) {
  const rows = names.map((name, at) => {
    const bar = el("span", { class: "amount" });
    const told = el("span", { class: "told" }, number(values[at]));
    const value = given?.[at] === undefined ? null : el("small", {}, ` = ${number(given[at])}`);
    const element = el(
      "li",
      {},
      el("span", { class: "feature", title: name }, el("bdi", {}, name.replaceAll("_", " ")), value),
      el("span", { class: "axis" }, bar),
      told,
    );
    return { element, bar };
  });
  const paint = (drawn, colours) => {
    rows.forEach(({ bar }, at) => {
      const share = drawn.limit ? drawn.values[at] / drawn.limit : 0;
      bar.style.background = `rgb(${shadeOf(share, colours, drawn.signed).join(", ")})`;
      bar.style.insetInlineStart = `${drawn.signed ? 50 + Math.min(0, share) * 50 : 0}%`;
      bar.style.inlineSize = `${Math.abs(share) * (drawn.signed ? 50 : 100)}%`;
    });
  };
  const element = el("ul", { class: "row-bars" }, rows.map((one) => one.element));
  return { element, paint };
}
