// The explanations as a grid of pictures that are aligned, and drawn on a scale that is chosen for all.

import { byId, el, titled } from "../dom.js";
import { cellOf } from "./cell.js";
import { isSlow, shownOf } from "../explain.js";
import { drawnOf, painted } from "./heat.js";
import { look } from "./look.js";
import { on, state, targetText } from "../state.js";
import { choosePixel, placesOf } from "../target.js";
import { clearPictures, picture, redraw } from "./view.js";
import { legendOf, mapsOf } from "./words.js";

const cells = new Map();

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
  byId("empty").hidden = items.some((item) => shownOf(item) || item.input);
  const none = !byId("empty").hidden;
  byId("look").hidden = none;
  const columns = items.some((item) => item.column === 1)
    ? [0, 1].map((at) => items.find((item) => item.column === at))
    : [];
  const grid = byId("grid");
  grid.className = columns.length ? "pairs" : "many";
  const heads = columns.map((item) => el("h3", {}, `${targetText(item.model, item.target)}, ${item.model.name}`));
  if (!none) for (const item of items) cells.set(item, cellOf(item));
  const input = !none && (!columns.length || placesOf(model)) ? inputCell() : [];
  grid.replaceChildren(...(columns.length ? input : []), ...heads, ...(columns.length ? [] : input), ...[...cells.values()].map((cell) => cell.element));
  repaint();
  count();
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
  const places = placesOf(state.model);
  const choose = places && (({ x, y }) => choosePixel({ x: x * places[1], y: y * places[0] }));
  const rest = `${seen.width} × ${seen.height}${places ? "; click a pixel to explain it" : ""}`;
  const at = places && state.pixel;
  const mark = at && { x: (at.x + 0.5) / places[1], y: (at.y + 0.5) / places[0] };
  const { canvas } = picture({ ...seen, say, rest, choose, mark }, "The input as the model sees it", readout);
  return [el("figure", { class: "cell input-cell" }, el("figcaption", {}, el("h3", {}, "Input")), canvas, readout)];
}

function update(item) {
  const cell = cells.get(item);
  if (!cell) return;
  cell.update();
  repaint();
  count(item);
}

// Only what belongs to what is chosen now counts.
function count(item) {
  const { items } = state;
  const here = items.filter((one) => one.result).length;
  const asking = items.filter((one) => one.status === "new" && one.input?.ready && isSlow(one)).length;
  const rest = asking ? `; ${asking} ${asking === 1 ? "waits" : "wait"} for you` : "";
  const some = items.length === 1 ? `The explanation is not here${rest}.` : `${here || "None"} of ${items.length} explanations are here${rest}.`;
  const all = here < items.length ? some : here === 2 ? "Both explanations are here." : `All ${here} explanations are here.`;
  const failed = item?.status === "failed" ? `${titled(item.method.name)} failed. ` : "";
  const now = cells.size ? failed + (items.length === 1 && here ? "The explanation is here." : all) : "";
  if (now !== byId("told").textContent) byId("told").textContent = now;
}

// All are drawn again: with a common scale one picture changes the others. What is no longer meant has a scale of its own.
function repaint() {
  const drawn = state.items.filter((item) => shownOf(item)?.plane && (cells.get(item)?.picture || cells.get(item)?.marks));
  for (const item of drawn) item.drawn = drawnOf(shownOf(item).plane, look.values);
  for (const item of drawn) {
    const group = drawn.filter(
      (one) =>
        one === item ||
        (one.result && item.result &&
          (look.scale === "all" || (look.scale === "method" && one.method.name === item.method.name))),
    );
    const limit = Math.max(...group.map((one) => one.drawn.limit));
    const shown = { ...item.drawn, limit, signed: group.some((one) => one.drawn.signed) };
    const cell = cells.get(item);
    if (cell.marks) cell.marks.paint(shown, look.colours);
    else paintPicture(item, cell, shown);
    cell.legend(shown);
  }
  const pictured = [...cells.values()].some((cell) => cell.picture);
  byId("keys").hidden = byId("look").elements.under.parentElement.hidden = !pictured;
  byId("legend").textContent = legendOf(state.items.filter((item) => item.result && mapsOf(item.result).length));
}

function paintPicture(item, cell, shown) {
  cell.picture.source.canvas = painted(shown, look.colours, groundOf(shownOf(item)), Number(look.under));
  redraw(cell.picture);
}

// The input beneath, where the model saw it at the map's own size.
function groundOf({ plane, input }) {
  const seen = input?.pixels;
  if (!seen || !Number(look.under)) return null;
  if (seen.width === plane.width && seen.height === plane.height) return seen.grays;
  return plane.values.map((_, i) => {
    const [x, y] = [((i % plane.width) + 0.5) / plane.width, (Math.floor(i / plane.width) + 0.5) / plane.height];
    return seen.grays[Math.floor(y * seen.height) * seen.width + Math.floor(x * seen.width)];
  });
}
