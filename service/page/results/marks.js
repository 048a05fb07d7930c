// An attribution over texts: each word on the colour of what it counts; one that is chosen says its number.

import { el, number } from "../dom.js";
import { shadeOf } from "./heat.js";

// The values of all tokens in a row, as a plane of one line.
export function lineOf(texts) {
  const values = Object.values(texts).flatMap((text) => text.tokens.map((token) => token.value));
  return { width: values.length, height: 1, values: Float32Array.from(values), line: true };
}

// {element, paint}: `paint` gives the words the colours of {values, limit, signed}.
export function marks(texts, readout) {
  const pieces = [];
  const several = Object.keys(texts).length > 1;
  let chosen = null;
  const choose = (button, said) => {
    chosen?.setAttribute("aria-pressed", "false");
    chosen = chosen === button ? null : button;
    chosen?.setAttribute("aria-pressed", "true");
    readout.textContent = chosen ? said : restOf(texts);
  };
  const paragraphs = Object.entries(texts).flatMap(([name, text]) => [
    several ? el("h4", {}, name) : null,
    el("p", { class: "marks", dir: "auto" }, wordsOf(text, pieces, choose)),
    text.truncated
      ? el("p", { class: "faint" }, `The model saw the first ${text.truncated.tokens} of ${text.truncated.of} tokens.`)
      : null,
  ]);
  readout.textContent = restOf(texts);
  const paint = (drawn, colours) =>
    pieces.forEach((piece, at) => {
      const [r, g, b] = shadeOf(drawn.limit ? drawn.values[at] / drawn.limit : 0, colours, drawn.signed);
      piece.style.background = `rgb(${r}, ${g}, ${b})`;
      piece.style.color = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#17171a" : "#fff";
    });
  return { element: el("div", {}, paragraphs), paint };
}

// Pieces of one word are one button; between words is a space where the text has one.
function wordsOf(text, pieces, choose) {
  const found = [];
  text.tokens.forEach((token, at) => {
    const before = text.tokens[at - 1];
    const within = before && token.word !== null && token.word === before.word;
    const piece = el("span", { class: "piece" }, token.text.trim());
    pieces.push(piece);
    if (within) return found.at(-1).append(piece);
    if (before && (token.start > before.end || token.word === null || before.word === null)) found.push(" ");
    const tokens = token.word === null ? [token] : text.tokens.filter((one) => one.word === token.word);
    const button = el(
      "button",
      { type: "button", class: token.word === null ? "word special" : "word", "aria-pressed": "false" },
      piece,
    );
    button.addEventListener("click", () => choose(button, saidOf(tokens)));
    found.push(button);
  });
  return found;
}

function saidOf(tokens) {
  const word = tokens.map((token) => token.text.trim()).join("");
  const sum = number(tokens.reduce((total, token) => total + token.value, 0));
  const parts = tokens.map((token) => `${token.text.trim()} ${number(token.value)}`).join(", ");
  return tokens.length > 1 ? `${word}: ${sum} (${parts})` : `${word}: ${sum}`;
}

function restOf(texts) {
  const words = Object.values(texts).flatMap((text) => text.words);
  const strongest = words.reduce((best, word) => (Math.abs(word.value) > Math.abs(best.value) ? word : best), words[0]);
  return strongest ? `strongest: ${strongest.text} ${number(strongest.value)}; choose a word to read its number` : "";
}
