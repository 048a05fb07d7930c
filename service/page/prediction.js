// The prediction at once, as bars that are also the choice of the target.

import { Problem, explain } from "./api.js";
import { byId, el, number, show } from "./dom.js";
import { loadSeen } from "./seen.js";
import {
  labelOf,
  modelNamed,
  namedBy,
  on,
  reasonAgainst,
  sameTarget,
  state,
  targetAsked,
  targetText,
  tell,
} from "./state.js";

const TOP = 10;
const SHOWN = 5;
let asking = null;

export function beginPrediction() {
  on("model", predict);
  on("input", predict);
  on("prediction", draw);
  on("prediction", () => byId("compare").value === "class" && !byId("second").value && chooseCompare());
  on("target", draw);
  on("model", targetFields);
}

// Resolves once the input is known to the server, with its prediction where the model has classes.
async function predict() {
  asking?.abort();
  state.prediction = null;
  state.target = null;
  byId("prediction").classList.toggle("stale", Boolean(state.input));
  if (!state.input) return draw();
  if (reasonAgainst(state.model, "predict")) return tell("prediction");
  const { signal } = (asking = new AbortController());
  try {
    const found = await predicted(state.model, state.input, signal);
    if (signal.aborted) return;
    state.input.digest = found.input;
    state.prediction = predictionOf(found);
    loadSeen(found.id).catch(() => {});
    show("input-error", null);
    tell("prediction");
  } catch (error) {
    if (!(error instanceof Problem)) {
      if (error.name === "AbortError") return;
      throw error;
    }
    tell("refused", error, []);
    draw();
  }
}

export async function predicted(model, input, signal) {
  const request = { model: model.name, method: { name: "predict", top: Math.min(TOP, model.outputs[0] ?? 1) } };
  const [answer] = await explain(request, input, { wait: 60, signal });
  if (answer.status === "succeeded") return answer;
  throw new Problem(
    answer.error ?? { code: "waiting", detail: "The prediction takes longer than a minute; is a worker busy?" },
  );
}

export const predictionOf = (found) => ({ id: found.id, top: found.info.prediction ?? found.prediction });

function draw() {
  const place = byId("prediction");
  place.classList.remove("stale");
  if (!state.prediction) {
    const said = state.input ? "There is no prediction of it." : "It appears as soon as there is an input.";
    return place.replaceChildren(el("p", { class: "faint" }, said));
  }
  const chosen = targetAsked();
  const rows = state.prediction.top.filter(
    ({ index }, rank) => rank < SHOWN || sameTarget(namedBy(index), chosen),
  );
  place.replaceChildren(
    el(
      "div",
      { class: "bars", role: "group", "aria-label": "Classes" },
      rows.map((row) => bar(row, chosen)),
    ),
  );
  byId("class").value =
    state.target !== null && typeof state.target === "number" ? labelOf(state.model, state.target) : "";
}

function bar({ index, label: reduced, probability, score }, chosen) {
  const own = index === null ? { reduce: reduced } : namedBy(index);
  const name = index === null ? targetText(state.model, own) : labelOf(state.model, index);
  const meter = el("span", { class: "bar" });
  meter.style.setProperty("--share", probability ?? 0);
  const said =
    probability === null || probability === undefined ? number(score) : `${(probability * 100).toFixed(1)} %`;
  const choose = () => {
    state.target = own;
    tell("target");
    byId("prediction").querySelector("[aria-pressed=true]")?.focus();
  };
  const label = el("span", { class: "label" }, name);
  const title = `${name}: score ${number(score)}`;
  return el(
    "button",
    { type: "button", "aria-pressed": String(sameTarget(own, chosen)), title, onclick: choose },
    label,
    meter,
    el("span", { class: "value" }, said),
  );
}

function targetFields() {
  const { model, models } = state;
  const known = el(
    "datalist",
    { id: "classes" },
    model.classes.map((_, index) => el("option", { value: labelOf(model, index) })),
  );
  const other = field("class", "Another class", {
    list: "classes",
    placeholder: "name or number",
    onchange: (event) => chooseClass(event.target),
  });
  const layers = el(
    "select",
    { id: "layer", onchange: chooseUnit },
    el("option", { value: "" }, "none"),
    model.layers.map(({ name, shape }) => el("option", { value: name }, `${name} (${shape.join(" × ")})`)),
  );
  const channel = el("input", { id: "channel", type: "number", min: 0, value: 0, onchange: chooseUnit });
  const against = el(
    "select",
    { id: "compare", onchange: chooseCompare },
    el("option", { value: "" }, "nothing"),
    el("option", { value: "class" }, "another class"),
    models
      .filter((one) => one !== model)
      .map((one) => el("option", { value: `model ${one.name}` }, `model ${one.name}`)),
  );
  const second = field("second", "The other class", {
    list: "classes",
    placeholder: "name or number",
    onchange: chooseCompare,
  });
  second.hidden = true;
  state.compare = null;
  byId("target").replaceChildren(
    known,
    other,
    el("p", { class: "field" }, el("label", { for: "compare" }, "Compare with"), against),
    second,
    el(
      "details",
      {},
      el("summary", {}, "A channel instead of a class"),
      el("p", { class: "field" }, el("label", { for: "layer" }, "Layer"), layers),
      el("p", { class: "field" }, el("label", { for: "channel" }, "Channel"), channel),
    ),
  );
}

const field = (id, label, attributes) =>
  el("p", { class: "field" }, el("label", { for: id }, label), el("input", { id, autocomplete: "off", ...attributes }));

// The index of what was typed; null and an error where it names no class.
function classOf(text) {
  const { model } = state;
  const wanted = text.trim().toLowerCase();
  const at = model.classes.findIndex((label, index) =>
    [label.toLowerCase(), labelOf(model, index).toLowerCase()].includes(wanted),
  );
  const index = at >= 0 ? at : /^\d+$/.test(wanted) ? Number(wanted) : -1;
  const count = model.outputs[0] ?? 1;
  const found = index >= 0 && index < count;
  show("target-error", found ? null : `${model.name} has no class “${text.trim()}”; it has ${count}.`);
  return found ? index : null;
}

function chooseClass(input) {
  const found = input.value.trim() ? classOf(input.value) : null;
  if (input.value.trim() && found === null) return;
  state.target = found;
  tell("target");
}

function chooseUnit() {
  const layer = byId("layer").value;
  state.target = layer ? { layer, channel: byId("channel").valueAsNumber || 0 } : null;
  tell("target");
}

function chooseCompare() {
  const [kind, name] = byId("compare").value.split(/ (.*)/);
  const second = byId("second");
  second.parentElement.hidden = kind !== "class";
  if (kind === "class" && !second.value) {
    const next = state.prediction?.top.find(({ index }) => !sameTarget(namedBy(index), targetAsked()));
    if (next) second.value = labelOf(state.model, next.index);
  }
  if (kind === "class") {
    const found = second.value ? classOf(second.value) : null;
    state.compare = found === null ? null : { target: found };
  } else state.compare = kind === "model" ? { model: modelNamed(name) } : null;
  tell("compare");
}

// After a link was followed: the fields as what was restored.
export function showCompare() {
  const { compare } = state;
  byId("compare").value = !compare ? "" : compare.model ? `model ${compare.model.name}` : "class";
  byId("second").parentElement.hidden = compare?.target === undefined;
  if (compare?.target !== undefined) byId("second").value = labelOf(state.model, compare.target);
}
