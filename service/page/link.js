// The address holds the ids of what is shown, and how it is drawn: following it restores all of it.

import { Problem, read } from "./api.js";
import { byId, show } from "./dom.js";
import { adopt } from "./explain.js";
import { STANDARD, look, setLook } from "./results/look.js";
import { build } from "./methods.js";
import { predictionOf } from "./results/prediction.js";
import { resume } from "./input/many.js";
import { NUMBERS } from "./input/row.js";
import { loadSeen } from "./results/seen.js";
import { INPUTS } from "./input/several.js";
import { DRAWING } from "./input/sketch.js";
import { TEXT } from "./input/text.js";
import { methodNamed, modelNamed, newInput, on, state, tell } from "./state.js";
import { showTarget } from "./target.js";

const COLUMNS = ["e", "f"];
const ONGOING = [DRAWING, NUMBERS, INPUTS, TEXT];
let reading = 0; // which of the links that were followed is the last
let written = { input: null, job: null }; // what the address names

export function beginLinks() {
  on("ids", write);
  on("look", write);
  on("input", () => (reading += 1)); // a link that is still being read is no longer wanted
  window.addEventListener("hashchange", () => restore());
}

// Another input, model or job is another entry of the browser's history; the rest, and a drawing that goes on, changes the one.
function write() {
  const said = new URLSearchParams();
  if (state.prediction?.id) said.set("p", state.prediction.id);
  COLUMNS.forEach((name, column) => {
    const ids = state.items.filter((item) => item.column === column && item.id).map((item) => item.id);
    if (ids.length) said.set(name, ids.join("."));
  });
  if (state.job) said.set("m", state.job);
  for (const [name, value] of Object.entries(look)) if (value !== STANDARD[name]) said.set(name, value);
  const { input, job } = state;
  const goesOn = ONGOING.includes(input?.name) && written.input?.name === input.name;
  const otherInput = written.input && input && written.input !== input && !input.opening && !goesOn;
  const other = otherInput || (written.job && job && written.job !== job);
  written = { input, job };
  history[other ? "pushState" : "replaceState"](null, "", `#${said}`);
}

// Whether the address named explanations; a job of many inputs that it names is shown, too.
export async function restore() {
  const said = new URLSearchParams(location.hash.slice(1));
  written.job = said.get("m");
  resume(said.get("m"));
  const ids = COLUMNS.map((name) => said.get(name)?.split(".") ?? []);
  if (!ids[0].length) return false;
  const mine = ++reading;
  try {
    const answers = await Promise.all(ids.map((column) => Promise.all(column.map((id) => read(id)))));
    const prediction = said.get("p") ? await read(said.get("p")).catch(() => null) : null;
    if (mine !== reading) return true;
    setLook(
      Object.fromEntries(Object.keys(STANDARD).flatMap((name) => (said.has(name) ? [[name, said.get(name)]] : []))),
    );
    place(answers, prediction);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (mine === reading) show("error", `What the link names cannot be shown: ${error.message}.`);
    return false;
  }
  return true;
}

function place(answers, prediction) {
  const known = answers.map((column) => column.find((answer) => answer.links.receipt));
  const first = known[0] ?? answers[0][0];
  const model = modelNamed(first.model.name ?? first.model);
  if (!model) return show("error", "The model that the link names is no longer served.");
  byId("model").value = model.name;
  state.model = model;
  tell("model");
  state.chosen = new Map(answers[0].filter((one) => one.method).map(({ method }) => [method.name, changed(method)]));
  build();
  const seen = prediction ?? known[0];
  const input = seen?.input ? newInput({ digest: seen.input, name: "input" }) : null;
  if (input) input.ready = true;
  state.input = input;
  state.prediction = prediction ? predictionOf(prediction) : known[0] ? { id: null, top: known[0].prediction } : null;
  state.target = known[0] ? targetOf(known[0].target) : null;
  state.compare = known[1] ? compareOf(known[1], model) : null;
  written.input = input;
  tell("restored");
  showTarget();
  adopt(answers);
  if (input) loadSeen(seen.id, input).catch(() => {});
}

const targetOf = (target) => {
  if (!target || target.kind === "value") return null;
  const { kind, label, ...rest } = target;
  if (kind === "mask") return { class: rest.index, mask: rest.mask };
  return kind === "class" ? rest.index : rest;
};

const compareOf = (answer, model) =>
  answer.model.name === model.name ? { target: targetOf(answer.target) } : { model: modelNamed(answer.model.name) };

// The parameters that are not the method's defaults.
function changed({ name, ...parameters }) {
  const { properties } = methodNamed(name).parameters;
  return Object.fromEntries(
    Object.entries(parameters).filter(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify(properties[key]?.default ?? null),
    ),
  );
}
