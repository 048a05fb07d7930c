// The prediction at once, as bars that are also the choice of the target.

import { Problem, explain } from "../api.js";
import { byId, el, number, show } from "../dom.js";
import { loadSeen } from "./seen.js";
import { countOf, isLone, labelOf, namedBy, on, reasonAgainst, sameTarget, state, targetAsked, targetText, tell } from "../state.js";
import { atPixel, classOfTarget } from "../target.js";

const TOP = 10;
const SHOWN = 5;
let asking = null;

export function beginPrediction() {
  on("input", predict);
  on("prediction", draw);
  on("target", draw);
  on("restored", draw);
  on("model", () => {
    const rows = Math.min(SHOWN, countOf(state.model));
    byId("prediction").style.setProperty("--rows", rows); // their place is kept
    byId("prediction").classList.toggle("lone", isLone(state.model));
    byId("prediction-title").querySelector("small").hidden = isLone(state.model);
  });
}

// Once the input is known to the server, with its prediction where the model has classes. Until then what is shown is of
// the input before.
async function predict() {
  asking?.abort();
  const { input } = state;
  state.prediction = null;
  state.target = null;
  if (!input) return draw();
  fade();
  if (input.pending) return;
  if (reasonAgainst(state.model, "predict")) return known(input, null);
  const { signal } = (asking = new AbortController());
  try {
    const found = await predicted(state.model, input, signal);
    if (state.input !== input) return;
    input.digest = found.input;
    loadSeen(found.id, input).catch(() => {});
    show("input-error", null);
    known(input, predictionOf(found));
  } catch (error) {
    if (error.name === "AbortError" || state.input !== input) return;
    if (!(error instanceof Problem)) throw error;
    input.refused = true;
    tell("refused", error, []);
    tell("items");
    draw();
  }
}

function known(input, prediction) {
  input.ready = true;
  state.prediction = prediction;
  tell("prediction");
}

function fade() {
  const place = byId("prediction");
  if (place.classList.contains("stale") || !place.querySelector(".bars")) return;
  place.classList.add("stale");
  place.querySelectorAll("button").forEach((one) => (one.disabled = true));
  place.append(el("p", { class: "note" }, "Of the input before."));
}

export async function predicted(model, input, signal) {
  const request = { model: model.name, method: { name: "predict", top: Math.min(TOP, countOf(model)) } };
  const [answer] = await explain(request, input, { wait: 60, signal });
  if (answer.status === "succeeded") return answer;
  throw new Problem(
    answer.error ?? { code: "waiting", detail: "The prediction takes longer than a minute; is a worker busy?" },
  );
}

export const predictionOf = (found) => ({
  id: found.id,
  top: found.info.prediction ?? found.prediction,
  places: found.arrays?.scores?.shape.slice(1), // of what has any size, those of this input
});

function draw() {
  const place = byId("prediction");
  place.classList.remove("stale");
  if (!state.prediction) {
    const said = state.input ? "There is no prediction of it." : "It appears as soon as there is an input.";
    return place.replaceChildren(el("p", { class: "faint" }, said));
  }
  const chosen = classOfTarget(targetAsked());
  const { top } = state.prediction;
  const rows = top.filter(({ index }, rank) => rank < SHOWN || sameTarget(namedBy(index), chosen));
  const scale = scaleOf(rows);
  place.replaceChildren(
    el(
      "div",
      { class: "bars", role: "group", tabindex: 0, "aria-label": "Classes" },
      rows.map((row) => bar(row, chosen, scale)),
    ),
    el("p", { class: "faint" }, scale.unit),
  );
  byId("class").value =
    state.target !== null && typeof state.target === "number" ? labelOf(state.model, state.target) : "";
}

const percent = (probability) => `${(probability * 100).toFixed(1)} %`;
const UNITS = { logits: "logits", multilabel: "logits", evidence: "evidence", binary: "logits" };

// Probabilities as bars; the scores where those say nothing, since all but one are told as 0.0 %.
function scaleOf(rows) {
  const told = rows.map(({ probability }) => probability ?? null);
  if (told.includes(null)) return { unit: null, ...scores(rows) };
  if (rows.length < 2 || told.filter((one) => percent(one) !== percent(0)).length > 1 || state.model.output === "probabilities")
    return { unit: null, share: ({ probability }) => probability, say: ({ probability }) => percent(probability) };
  const unit = UNITS[state.model.output] ?? "scores";
  const [best] = rows;
  const most = best.probability < 1 && percent(best.probability) === percent(1) ? "over 99.9 %" : percent(best.probability);
  const sum = `${labelOf(state.model, best.index)} has ${most}`;
  return { unit: `In ${unit}; ${sum} probability.`, ...scores(rows) };
}

function scores(rows) {
  const all = rows.map(({ score }) => score);
  const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
  const share = ({ score }) => (high > low && rows.length > 1 ? (score - low) / (high - low) : 0);
  return { share, say: ({ score }) => number(score) };
}

function bar(row, chosen, scale) {
  const { index, label: reduced, score, probability } = row;
  const own = index === null ? { reduce: reduced } : namedBy(index);
  const name = index === null ? targetText(state.model, own) : labelOf(state.model, index);
  const meter = el("span", { class: "bar" });
  meter.style.setProperty("--share", scale.share(row));
  const choose = () => {
    state.target = atPixel(own);
    tell("target");
    byId("prediction").querySelector("[aria-pressed=true]")?.focus();
  };
  const chance = probability === null || probability === undefined ? "" : `, probability ${percent(probability)}`;
  return el(
    "button",
    {
      type: "button",
      "aria-pressed": String(sameTarget(own, chosen)),
      title: `${name}: score ${number(score)}${chance}`,
      onclick: choose,
    },
    el("span", { class: "label" }, name),
    meter,
    el("span", { class: "value" }, scale.say(row)),
  );
}
