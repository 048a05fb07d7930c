// What is chosen is asked for, followed, and withdrawn when something else is chosen.

import { Problem, ask, explain, read, withdraw } from "./api.js";
import { byId, show } from "./dom.js";
import { follow, unfollow } from "./follow.js";
import { planeOf } from "./heat.js";
import { methodsAsked, showFieldError } from "./methods.js";
import { parseNpy } from "./npy.js";
import { isImage, methodNamed, on, reasonAgainst, state, targetAsked, tell } from "./state.js";

const PAUSE = 200;
const OPEN = ["asked", "queued", "running"];
const LONG = "thousands of passes";
let timer = 0;

const isOpen = (item) => OPEN.includes(item.status);

// What was asked for is of another model or input now.
export function drop() {
  const left = state.items;
  state.items = [];
  tell("items");
  left.filter(isOpen).forEach(cancel);
}

export function beginExplaining() {
  on("input", () => byId("auto").checked || drop());
  on("prediction", () => soon(0));
  for (const name of ["target", "methods", "compare"]) on(name, () => soon(PAUSE));
  on("refused", refused);
  byId("asking").addEventListener("submit", (event) => {
    event.preventDefault();
    explainAll();
    if (byId("results").getBoundingClientRect().top > innerHeight) byId("results").scrollIntoView();
  });
}

function soon(pause) {
  clearTimeout(timer);
  byId("explain").disabled = !state.input && ![...state.chosen.keys()].some((name) => !methodNamed(name).takes_input);
  if (byId("explain").disabled || !byId("auto").checked) return;
  const costs = [...state.chosen.keys()].map((name) => methodNamed(name).cost);
  if (costs.length && !costs.includes(LONG)) timer = setTimeout(explainAll, pause);
}

async function explainAll() {
  clearTimeout(timer);
  show("error", null);
  show("target-error", null);
  const methods = methodsAsked();
  if (!methods) return;
  if (!methods.length) return show("error", "Choose at least one method.");
  const first = { model: state.model, target: targetAsked() };
  const columns = state.compare ? [first, { ...first, ...state.compare }] : [first];
  const kept = new Map(state.items.filter((item) => isOpen(item) || item.result).map((item) => [item.key, item]));
  const rows = methods.map((method) => columns.map((column, at) => itemOf(method, column, at, kept)));
  const left = state.items.filter((item) => !rows.flat().includes(item));
  state.items = rows.flat();
  tell("items");
  left.filter(isOpen).forEach(cancel);
  await Promise.all(
    columns.map((column, at) =>
      send(
        column,
        state.items.filter((item) => item.column === at && item.status === "new"),
      ),
    ),
  );
}

function itemOf(method, { model, target }, column, kept) {
  const key = JSON.stringify([model.digest, state.input?.digest ?? state.input?.name, target, method, column]);
  const usual = Object.keys(method).length === 1 && !target?.layer;
  const reason = usual && reasonAgainst(model, method.name);
  const error = reason ? { detail: `Not for ${model.name}: ${reason}.` } : null;
  return kept.get(key) ?? { key, column, method, model, target, status: error ? "failed" : "new", error };
}

export function retry(item) {
  Object.assign(item, { status: "new", error: null, progress: null });
  return send(item, [item]);
}

// One request for all of them; where a method is refused, one for each, since one fault refuses them all.
async function send({ model, target }, items) {
  if (!items.length) return;
  items.forEach((item) => change(item, { status: "asked" }));
  const request = { model: model.name, method: items.map((item) => item.method), target };
  try {
    const answers = await sent(request, state.input);
    answers.forEach((answer, at) => begin(items[at], answer));
    tell("ids");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const alone = error.errors.some(({ pointer }) => pointer.startsWith("/method"));
    if (alone && items.length > 1) return Promise.all(items.map((item) => send({ model, target }, [item])));
    items.forEach((item) => change(item, { status: "failed", error: error.document }));
    tell(
      "refused",
      error,
      items.map((item) => item.method),
    );
  }
}

async function sent(request, input) {
  const terms = { wait: 1 };
  if (!input?.digest) return explain(request, input, terms);
  try {
    return await explain(request, { digest: input.digest }, terms);
  } catch (error) {
    if (error.code !== "unknown_input" || !input.blob) throw error;
    return explain(request, input, terms);
  }
}

// The answer to a request, or the state of what a link names.
export function begin(item, answer) {
  item.id = answer.id;
  if (!state.items.includes(item)) {
    withdraw(item.id).catch(() => {});
  } else if (answer.status === "succeeded" && answer.links.receipt) finish(item, answer);
  else if (OPEN.includes(answer.status)) {
    change(item, answer);
    follow(item.id, (news) => (news.status === "succeeded" ? finish(item) : change(item, news)));
  } else change(item, answer);
}

async function finish(item, known) {
  try {
    const result = known ?? (await read(item.id));
    const drawn = isImage(item.model) && result.attribution?.shape.length <= 3 && result.attribution.shape.length > 1;
    const plane = drawn ? planeOf(parseNpy(await (await ask(result.links.npy)).arrayBuffer())) : null;
    change(item, { status: "succeeded", result, plane, error: null });
  } catch (error) {
    change(item, { status: "failed", error: error.document ?? { detail: error.message } });
  }
}

function change(item, { status, position, progress, error, result, plane }) {
  Object.assign(item, {
    status: status ?? item.status,
    position,
    progress: progress === undefined ? item.progress : progress,
    error,
  });
  if (result) Object.assign(item, { result, plane, method: result.method });
  if (state.items.includes(item)) tell("item", item);
}

export async function cancel(item) {
  if (!item.id) return change(item, { status: "cancelled" });
  unfollow(item.id);
  change(item, { status: "cancelled" });
  try {
    await withdraw(item.id);
  } catch (error) {
    if (error.code === "already_finished") await finish(item);
    else if (!(error instanceof Problem)) throw error;
  }
}

// Each fault where what is wrong was chosen; what has no place there stands by the button.
function refused(problem, methods) {
  const places = { "/target": "target-error", "/input": "input-error", "/model": "model-error" };
  const errors = problem.errors.length ? problem.errors : [{ pointer: "", detail: problem.message }];
  for (const { pointer, detail } of errors) {
    const [, at, field] = /^\/method\/(\d+)\/([^/]+)/.exec(pointer) ?? [];
    const place = Object.keys(places).find((start) => pointer.startsWith(start));
    const shown = field !== undefined && showFieldError(methods[Number(at)]?.name, field, detail);
    if (!shown)
      show(places[place] ?? (problem.code.startsWith("in") && !methods.length ? "input-error" : "error"), detail);
  }
}
