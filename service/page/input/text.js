// A text as input: typed, or one of the examples.

import { el, show } from "../dom.js";

const PAUSE = 400;
export const TEXT = "text";
export const LINES = [
  "le chat dort sous la grande table",
  "the children walked home through the rain",
  "der alte Mann liest die Zeitung",
  "la ragazza mangia una mela rossa",
  "los libros viejos cuentan historias",
  "ein croissant und due cappuccini, please",
];

// `take` is given null from the first key on, and the text a moment after the last; `offer` begins with an example.
export function textBox(spec, take, id = "text", lines = LINES) {
  const box = el("textarea", { id, rows: 3, "aria-describedby": `${id}-about`, dir: "auto" });
  let timer = 0;
  const use = () => {
    if (box.value.trim()) take(box.value);
    else if (box.isConnected) show("input-error", "There are no words yet.");
  };
  box.addEventListener("input", () => {
    clearTimeout(timer);
    take(null);
    timer = setTimeout(use, PAUSE);
  });
  const offer = (line = LINES[0]) => {
    clearTimeout(timer);
    box.value = line;
    use();
  };
  const examples = lines.map((line) =>
    el(
      "button",
      {
        type: "button",
        class: "line",
        dir: "auto",
        onclick: () => offer(line),
      },
      line,
    ),
  );
  const about = spec.length ? `The model sees up to ${spec.length} tokens of it.` : "";
  const element = el(
    "div",
    { class: "numbers" },
    el("label", { for: id }, "Text"),
    box,
    el("small", { id: `${id}-about` }, about),
    examples.length ? el("p", { class: "examples", role: "group", "aria-label": "Examples" }, examples) : null,
  );
  return { element, offer };
}
