// One explanation: waiting, failed, or a picture with its colour bar, its checks and its files.

import { addressOf, hasKey } from "../api.js";
import { byId, el, number, titled } from "../dom.js";
import { cancel, isSlow, runOne, shownOf, staleness } from "../explain.js";
import { bars } from "./bars.js";
import { tableOf } from "./heat.js";
import { look, lookQuery } from "./look.js";
import { marks } from "./marks.js";
import { curlOf, pythonOf } from "./reproduce.js";
import { methodNamed, state, subjectOf, tell } from "../state.js";
import { picture } from "./view.js";
import { sentence } from "./words.js";

const FILES = {
  heatmap: ["PNG", "png"],
  overlay: ["PNG, overlay", "png"],
  png: ["PNG", "png"],
  svg: ["SVG", "svg"],
  npy: [".npy", "npy"],
  safetensors: [".safetensors", "safetensors"],
  csv: [".csv", "csv"],
  receipt: ["receipt", "json"],
};

export function cellOf(item) {
  const element = el("figure", { class: "cell" });
  const cell = { element, restyle: () => {}, update: () => fill(cell, item) };
  cell.update();
  return cell;
}

const OPEN = ["asked", "queued", "running"];

function fill(cell, item) {
  const said = OPEN.includes(item.status) ? waiting(item) : null;
  if (said && cell.waiting) return cell.waiting.update();
  cell.waiting = said;
  const was = item.result ? null : item.was;
  const old = Boolean(was || item.foreign);
  cell.element.classList.toggle("stale", old);
  const shown = shownOf(item) ?? item;
  const head = el(
    "figcaption",
    {},
    el("h3", {}, titled(item.method.name)),
    el("small", {}, subjectOf(shown.model, shown.result ?? shown)),
  );
  const note = old ? el("p", { class: "note" }, was ? staleness(was, item) : "Of another input.") : null;
  const now = said ? said.element : item.result ? null : item.status === "new" ? toBeAsked(item) : ended(item);
  Object.assign(cell, { picture: null, marks: null, legend: () => {} });
  const body = item.result ? finished(cell, item) : was ? pictureOf(cell, was) : [];
  cell.element.replaceChildren(...[head, note, now, body].flat().filter(Boolean));
}

// What runs by itself is about to; the rest asks.
function toBeAsked(item) {
  const { cost, takes_input: takes } = methodNamed(item.method.name);
  if (takes && !state.input) return el("p", { class: "faint" }, "It needs an input.");
  if (takes && state.input.refused) return refusedInput();
  if (takes && !state.input.ready) return el("p", { class: "faint" }, "Waits for the input.");
  if (byId("auto").checked && !isSlow(item)) return el("p", { class: "faint" }, "At once.");
  const button = el("button", { type: "button", onclick: () => runOne(item) }, `Run ${titled(item.method.name)}`);
  return el("div", { class: "ask" }, el("p", { class: "faint" }, `Takes ${cost}, so it waits for you.`), button);
}

// Another is chosen, or the same is sent again, where the server was away.
function refusedInput() {
  const again = () => {
    state.input.refused = false;
    tell("input");
  };
  const button = el("button", { type: "button", onclick: again }, "Try again");
  return el("div", { class: "ask" }, el("p", { class: "faint" }, "This input was not taken; why stands beside it."), button);
}

function waiting(item) {
  const bar = el("progress", { "aria-label": `Progress of ${titled(item.method.name)}` });
  const text = el("p", { class: "faint" });
  const button = el(
    "button",
    { type: "button", onclick: () => cancel(item), "aria-label": `Cancel ${titled(item.method.name)}` },
    "Cancel",
  );
  const picture = el("img", { alt: `What ${titled(item.method.name)} has made so far`, hidden: true });
  const update = () => {
    const { progress, position, status } = item;
    if (progress?.picture) Object.assign(picture, { src: `${progress.picture}?at=${progress.done}`, hidden: false });
    if (progress) Object.assign(bar, { max: progress.total, value: progress.done });
    else bar.removeAttribute("value");
    if (status === "queued") text.textContent = position ? `${position} before it` : "Next";
    else if (status === "running")
      text.textContent = progress ? `${progress.done} of ${progress.total} ${progress.unit}` : "Running";
    else text.textContent = "Asked for";
  };
  update();
  return { element: el("div", { class: "waiting" }, picture, bar, text, button), update };
}

function ended(item) {
  const cancelled = item.status === "cancelled";
  const detail = cancelled ? "Cancelled." : (faultOf(item.error) ?? "It failed.");
  const again =
    item.error && !item.error.code ? null : el("button", { type: "button", onclick: () => runOne(item) }, "Try again");
  return el("div", { class: "waiting" }, el("p", { class: cancelled ? "faint" : "error" }, detail), again);
}

// With the name of the parameter that it is about.
function faultOf(error) {
  const [, field] = /^\/method\/(?:\d+\/)?([^/]+)/.exec(error?.errors?.[0]?.pointer ?? "") ?? [];
  return field && field !== "name" ? `${titled(field)}: ${error.detail}` : error?.detail;
}

function finished(cell, item) {
  const checks = item.result.checks.map((check) => el("p", { class: "check" }, sentence(check, item.method.name)));
  return [...pictureOf(cell, item), ...checks, timing(item), files(item)];
}

const pictureOf = (cell, item) => (item.plane ? drawn(cell, item) : [served(cell, item)]);

function drawn(cell, item) {
  const { plane, result } = item;
  const readout = el("output", { class: "readout" });
  if (plane.line) {
    cell.marks = marks(result.texts, readout);
    return [cell.marks.element, ...legendOf(cell), readout];
  }
  if (plane.names) {
    cell.marks = bars(plane, item.input?.tensor?.data);
    return [cell.marks.element];
  }
  const { min, max, sum } = result.attribution;
  const label = `${titled(item.method.name)} for ${subjectOf(item.model, result)}: a map of values from ${number(min)} to ${number(max)}, in sum ${number(sum)}`;
  const say = (x, y) => number(plane.values[y * plane.width + x]);
  const place = plane.values.reduce((best, value, i) => (Math.abs(value) > Math.abs(plane.values[best]) ? i : best), 0);
  const [x, y] = [place % plane.width, Math.floor(place / plane.width)];
  const rest = `strongest ${say(x, y)}, at x ${x}, y ${y}`;
  const source = { width: plane.width, height: plane.height, canvas: new OffscreenCanvas(1, 1), say, rest };
  cell.picture = picture(source, label, readout);
  return [cell.picture.canvas, ...legendOf(cell), readout];
}

function legendOf(cell) {
  const bar = el("canvas", { class: "colours", width: 256, height: 1, role: "img", "aria-label": "Colour bar" });
  const [low, middle, high] = ["low", "middle", "high"].map((name) => el("span", { class: name }));
  cell.legend = ({ limit, signed }) => {
    paintBar(bar, signed);
    low.textContent = signed ? number(-limit) : "0";
    middle.textContent = signed ? "0" : "";
    high.textContent = number(limit);
  };
  return [el("div", { class: "legend" }, bar, low, middle, high)];
}

function paintBar(bar, signed) {
  const table = tableOf(look.colours, signed);
  const last = table.length / 3 - 1;
  const image = new ImageData(256, 1);
  for (let i = 0; i < 256; i++) {
    const share = i / 255;
    const step = Math.round(signed ? share * last : ((1 + share) * last) / 2) * 3;
    image.data.set([table[step], table[step + 1], table[step + 2], 255], 4 * i);
  }
  bar.getContext("2d").putImageData(image, 0, 0);
}

// What is no map of an image is drawn by the server.
function served(cell, { result, method }) {
  const source = () => (result.links.heatmap ? result.links.heatmap + lookQuery() : result.links.png);
  const scores = (result.info.methods ?? []).map(({ label, score }) => `${label} ${number(score)}`).join(", ");
  const alt = `${titled(method.name)}${scores ? `: ${scores}` : ""}`;
  if (!source()) return el("p", {}, alt);
  const image = el("img", { class: "served", alt });
  image.addEventListener("load", () => {
    cell.element.classList.toggle("wide", image.naturalWidth > 1.4 * image.naturalHeight);
    image.style.maxWidth = `${image.naturalWidth}px`; // its letters are as large as those beside it
  });
  const link = el("a", { target: "_blank" }, image);
  cell.restyle = async () => (image.src = link.href = await addressOf(source()));
  cell.restyle();
  return el("div", {}, link, el("p", { class: "faint swipe" }, "Wider than this screen: swipe it, or touch it to see it whole."));
}

function timing({ result }) {
  const { computed_ms: computed, queued_ms: queued } = result.timing;
  const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
  return el("p", { class: "faint" }, `Computed in ${seconds(computed)} after ${seconds(queued)}.`);
}

function files(item) {
  const { links } = item.result;
  const name = [item.method.name, item.model.name].join("-");
  const shown = Object.entries(FILES).filter(([kind]) => links[kind]);
  const made = shown.map(([kind, [label, ending]]) => {
    const drawnByServer = kind === "heatmap" || kind === "overlay";
    const address = () => links[kind] + (drawnByServer ? lookQuery() : "");
    const link = el("a", { href: address(), download: `${name}.${ending}` }, label);
    link.addEventListener("click", async (event) => {
      link.href = address();
      if (!hasKey()) return;
      event.preventDefault();
      el("a", { href: await addressOf(address()), download: link.download }).click();
    });
    return el("li", {}, link);
  });
  return el(
    "details",
    { class: "files" },
    el("summary", {}, "Files and code"),
    el("ul", {}, made),
    snippet("curl", curlOf(item)),
    snippet("Python", pythonOf(item)),
  );
}

function snippet(name, text) {
  const button = el("button", { type: "button", "aria-label": `Copy ${name}` }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
  return el(
    "div",
    { class: "snippet" },
    el("h4", {}, name),
    button,
    el("pre", { tabindex: 0, "data-code": name }, text),
  );
}
