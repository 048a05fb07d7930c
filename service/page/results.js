// The explanations as a grid of pictures that are aligned, and drawn on a scale that is chosen for all.

import { byId, el, titled } from "./dom.js";
import { cellOf } from "./cell.js";
import { drawnOf, painted } from "./heat.js";
import { look } from "./look.js";
import { on, state, targetText } from "./state.js";
import { clearPictures, picture, redraw } from "./view.js";

const cells = new Map();
let told = "";

export function beginResults() {
  on("items", build);
  on("item", update);
  on("seen", build);
  on("look", () => {
    repaint();
    cells.forEach((cell) => cell.restyle());
  });
}

function build() {
  clearPictures();
  cells.clear();
  const { items, model } = state;
  byId("empty").hidden = items.length > 0;
  byId("look").hidden = !items.length;
  const columns = items.filter((item) => item.column === 1).length
    ? [0, 1].map((at) => items.find((item) => item.column === at))
    : [];
  const grid = byId("grid");
  grid.className = columns.length ? "pairs" : "many";
  const heads = columns.map((item) => el("h3", {}, `${targetText(item.model, item.target)}, ${item.model.name}`));
  for (const item of items) cells.set(item, cellOf(item));
  const input = !columns.length && items.length && model ? inputCell() : [];
  grid.replaceChildren(...heads, ...input, ...[...cells.values()].map((cell) => cell.element));
  repaint();
}

function inputCell() {
  const seen = state.input?.pixels;
  if (!seen) return [];
  const readout = el("output", { class: "readout" });
  const say = (x, y) =>
    `red, green, blue ${seen.data
      .slice(3 * (y * seen.width + x))
      .slice(0, 3)
      .join(", ")}`;
  const { canvas } = picture(
    { ...seen, say, rest: `${seen.width} × ${seen.height}` },
    "The input as the model sees it",
    readout,
  );
  return [el("figure", { class: "cell" }, el("figcaption", {}, el("h3", {}, "Input")), canvas, readout)];
}

function update(item) {
  const cell = cells.get(item);
  if (!cell) return;
  cell.update();
  if (item.plane) repaint();
  const open = state.items.filter((one) => !one.result && !one.error && one.status !== "cancelled").length;
  const now = open
    ? `${state.items.length - open} of ${state.items.length} explanations are here`
    : `All ${state.items.length} explanations are here`;
  if (now !== told) byId("told").textContent = told = now;
  if (item.status === "failed") byId("told").textContent = told = `${titled(item.method.name)} failed`;
}

// All are drawn again: with a common scale one picture changes the others.
function repaint() {
  const drawn = state.items.filter((item) => item.plane && cells.get(item)?.picture);
  for (const item of drawn) item.drawn = drawnOf(item.plane, look.values);
  for (const item of drawn) {
    const group = drawn.filter(
      (one) =>
        one === item || look.scale === "all" || (look.scale === "method" && one.method.name === item.method.name),
    );
    const limit = Math.max(...group.map((one) => one.drawn.limit));
    const shown = { ...item.drawn, limit, signed: group.some((one) => one.drawn.signed) };
    const ground = groundOf(item);
    const cell = cells.get(item);
    cell.picture.source.canvas = painted(shown, look.colours, ground, Number(look.under));
    redraw(cell.picture);
    cell.legend(shown);
  }
}

// The input beneath, where the model saw it at the map's own size.
function groundOf({ plane }) {
  const seen = state.input?.pixels;
  if (!seen || !Number(look.under)) return null;
  if (seen.width === plane.width && seen.height === plane.height) return seen.grays;
  return plane.values.map((_, i) => {
    const [x, y] = [((i % plane.width) + 0.5) / plane.width, (Math.floor(i / plane.width) + 0.5) / plane.height];
    return seen.grays[Math.floor(y * seen.height) * seen.width + Math.floor(x * seen.width)];
  });
}
