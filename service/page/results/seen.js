// What the model saw of the input.

import { ask, pathOf } from "../api.js";
import { el } from "../dom.js";
import { pictured } from "./heat.js";
import { parseNpy } from "../input/npy.js";
import { isImage, severalOf, state, tell } from "../state.js";

export async function loadSeen(id, input) {
  if (severalOf(state.model)) return; // each block shows its own
  const array = parseNpy(await (await ask(`${pathOf(id)}/input.npy`)).arrayBuffer());
  if (state.input !== input) return;
  input.pixels = isImage(state.model) && array.shape.length === 3 && array.shape[2] === 3 ? pictured(array) : null;
  tell("seen");
}

export function seenPicture() {
  const seen = state.input?.pixels;
  if (!seen) return [];
  const canvas = el("canvas", {
    width: seen.width,
    height: seen.height,
    role: "img",
    "aria-label": "The input as the model sees it",
  });
  canvas.getContext("2d").drawImage(seen.canvas, 0, 0);
  return [
    el(
      "figure",
      { class: "seen" },
      canvas,
      el("figcaption", {}, `as the model sees it, ${seen.width} × ${seen.height}`),
    ),
  ];
}
