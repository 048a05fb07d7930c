// What is asked for follows from what is chosen. An item is known by its key, which has all that determines it: when
// something else is chosen there is another item in its place, which shows the earlier one as what it was.

import { Problem, ask, explain, read, withdraw } from "./api.js";
import { byId, show } from "./dom.js";
import { follow, unfollow } from "./follow.js";
import { isRow } from "./input/row.js";
import { rowOf } from "./results/bars.js";
import { planeOf } from "./results/heat.js";
import { lineOf } from "./results/marks.js";
import { methodsAsked, showFieldError } from "./methods.js";
import { parseNpy } from "./input/npy.js";
import { isImage, methodNamed, on, reasonAgainst, sameTarget, state, targetAsked, targetText, tell } from "./state.js";

const PAUSE = 200;
const OPEN = ["asked", "queued", "running"];
const LONG = "thousands of passes";
let timer = 0;

const isOpen = (item) => OPEN.includes(item.status);
export const isSlow = ({ method }) => methodNamed(method.name).cost === LONG;
export const shownOf = (item) => (item.result ? item : item.was);
const slot = ({ method, column }) => `${method.name} ${column}`;
const takesInput = (name) => methodNamed(name).takes_input;
const canAsk = (item) => !takesInput(item.method.name) || Boolean(item.input?.ready);

export function beginExplaining() {
  on("input", () => changed(null));
  on("prediction", () => changed(0));
  for (const name of ["target", "methods", "compare"]) on(name, () => changed(PAUSE));
  on("refused", refused);
  byId("auto").addEventListener("change", () => changed(0));
  byId("asking").addEventListener("submit", (event) => {
    event.preventDefault();
    show("error", null);
    if (!state.items.length) show("error", "Choose at least one method.");
    run(() => true);
    if (byId("results").getBoundingClientRect().top > innerHeight) byId("results").scrollIntoView();
  });
}

function changed(pause) {
  clearTimeout(timer);
  if (!state.input?.opening) show("error", null); // what a link named in vain stays said
  if (state.prediction) show("target-error", null);
  arrange();
  if (pause !== null && byId("auto").checked)
    timer = setTimeout(() => run((item) => item.status === "new" && !isSlow(item)), pause);
}

// The items of what is chosen now; those that are among them already stay, and what nobody wants any more is withdrawn.
function arrange() {
  const kept = new Map(state.items.map((item) => [item.key, item]));
  const before = new Map(state.items.map((item) => [slot(item), shownOf(item)]));
  const left = state.items;
  const was = (item) => (takesInput(item.method.name) && !state.input ? null : before.get(slot(item)));
  state.items = wanted().map((item) => kept.get(item.key) ?? { ...item, was: was(item) });
  tell("items");
  left.filter((item) => isOpen(item) && !state.items.includes(item)).forEach(cancel);
  byId("explain").disabled = !state.items.some(canAsk);
}

function wanted() {
  const first = { model: state.model, target: targetAsked() };
  const columns = state.compare ? [first, { ...first, ...state.compare }] : [first];
  return methodsAsked().flatMap(({ fault, ...method }) =>
    columns.map((column, at) => itemOf(method, column, at, fault)),
  );
}

function itemOf(method, { model, target }, column, fault) {
  const input = takesInput(method.name) ? state.input : null;
  const key = JSON.stringify([model.digest, input?.key ?? null, target, method, column, fault ?? null]);
  const usual = Object.keys(method).length === 1 && !target?.layer;
  const reason = usual && reasonAgainst(model, method.name);
  const error = reason ? { detail: `Not for ${model.name}: ${reason}.` } : fault ? { detail: fault } : null;
  return { key, column, method, model, target, input, error, status: error ? "failed" : "new" };
}

// Why an earlier item is not what is chosen now.
export function staleness(was, { input, model, target, method }) {
  if (was.model.name !== model.name) return `Of the model ${was.model.name}.`;
  if (takesInput(was.method.name) && was.input !== input) return "Of the input before.";
  const meant = was.asked.target;
  if (!sameTarget(meant, target)) return `For ${targetText(was.model, was.result.target ?? meant)}.`;
  return sameTarget(was.asked.method, method) ? "As it was before." : "With the parameters before.";
}

// Asks for the items that are meant, if nothing of them is here or under way.
async function run(meant) {
  clearTimeout(timer);
  const again = (item) => !item.result && !isOpen(item) && canAsk(item) && meant(item) && !refusedAtOnce(item);
  state.items = state.items.map((item) => (again(item) && item.status !== "new" ? renewed(item) : item));
  const asked = state.items.filter(again);
  tell("items");
  await Promise.all([0, 1].map((column) => send(asked.filter((item) => item.column === column))));
}

const refusedAtOnce = (item) => item.status === "failed" && item.error && !item.error.code;
const renewed = (item) => ({ ...item, id: null, status: "new", error: null, progress: null });

export const runOne = (item) => run((one) => one === item || one.key === item.key);

// One request for all of them; where a method is refused, one for each, since one fault refuses them all.
async function send(items) {
  if (!items.length) return;
  const [{ model, target, input }] = items;
  items.forEach((item) => change(item, { status: "asked" }));
  const request = { model: model.name, method: items.map((item) => item.method), target };
  try {
    const answers = await sent(request, items.find((item) => item.input)?.input ?? input);
    answers.forEach((answer, at) => begin(items[at], answer));
    tell("ids");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const alone = error.errors.some(({ pointer }) => pointer.startsWith("/method"));
    if (alone && items.length > 1) return Promise.all(items.map((item) => send([item])));
    const wantedStill = items.filter((item) => state.items.includes(item));
    wantedStill.forEach((item) => change(item, { status: "failed", error: error.document }));
    const methods = items.map((item) => item.method);
    if (wantedStill.length) tell("refused", error, methods);
  }
}

async function sent(request, input) {
  const terms = { wait: 1 };
  if (!input?.digest) return explain(request, input, terms);
  try {
    return await explain(request, { digest: input.digest }, terms);
  } catch (error) {
    if (error.code !== "unknown_input" || !(input.blob || input.several || input.text !== undefined)) throw error;
    return explain(request, { ...input, digest: undefined }, terms);
  }
}

// The answer to a request, or the state of what a link names; nobody wants it where it was cancelled since.
export function begin(item, answer) {
  item.id = answer.id;
  if (!state.items.includes(item) || item.status === "cancelled") {
    if (answer.status !== "succeeded") withdraw(item.id).catch(() => {});
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
    const line = isAllText(item.model, result) ? lineOf(result.texts) : null;
    const row = !line && isRow(item.model) && result.attribution?.shape.length === 1;
    const numbers = drawn || row ? parseNpy(await (await ask(result.links.npy)).arrayBuffer()) : null;
    const plane = line ?? (row ? rowOf(numbers, result.layout) : drawn ? planeOf(numbers) : null);
    change(item, { status: "succeeded", result, plane, error: null });
  } catch (error) {
    change(item, { status: "failed", error: error.document ?? { detail: error.message } });
  }
}

// Beside a picture or a row, a text is drawn by the service.
function isAllText({ inputs }, { kind, texts }) {
  const explained = Object.keys(inputs ?? {}).filter((name) => !inputs[name].held);
  return kind === "attribution" && explained.length > 0 && explained.every((name) => texts?.[name]);
}

function change(item, { status, position, progress, error, result, plane }) {
  Object.assign(item, {
    status: status ?? item.status,
    position,
    progress: progress === undefined ? item.progress : progress,
    error,
  });
  if (result) {
    const asked = { method: item.method, target: item.target };
    Object.assign(item, { result, plane, asked, was: null, method: result.method });
  }
  if (state.items.includes(item)) tell("item", item);
}

export async function cancel(item) {
  change(item, { status: "cancelled" });
  if (!item.id) return;
  unfollow(item.id);
  try {
    await withdraw(item.id);
  } catch (error) {
    if (error.code === "already_finished") await finish(item);
    else if (!(error instanceof Problem)) throw error;
  }
}

// What a link names, by column: the items of what is chosen now, where it is these.
export function adopt(columns) {
  clearTimeout(timer);
  const chosen = new Map(wanted().map((item) => [slot(item), item]));
  const left = state.items;
  const rows = columns.flatMap((answers, column) => answers.map((answer) => [answer, named(answer, column, chosen)]));
  state.items = rows.map(([, item]) => item);
  tell("items");
  left.filter(isOpen).forEach(cancel);
  rows.forEach(([answer, item]) => begin(item, answer));
  byId("explain").disabled = false;
}

function named(answer, column, chosen) {
  const method = answer.method ?? { name: "predict" };
  const item = chosen.get(slot({ method, column }));
  if (item && (!item.input || item.input.digest === answer.input)) return { ...item, error: null, status: "asked" };
  const model = state.models.find((one) => one.name === (answer.model.name ?? answer.model)) ?? state.model;
  const foreign = Boolean(item);
  return { key: answer.id, column, method, model, target: answer.target ?? null, input: null, status: "asked", foreign };
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
