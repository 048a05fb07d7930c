// Many inputs in one job: sent as one dataset, followed, and shown as a summary and contact sheets.

import { Problem, addressOf, explain, itemsOf, pathOf, sendDataset, withdraw } from "../api.js";
import { byId, el, show, titled } from "../dom.js";
import { follow, unfollow } from "../follow.js";
import { methodsAsked } from "../methods.js";
import { packed } from "./pack.js";
import { on, state } from "../state.js";

const PER_SHEET = 24;
let files = [];
let job = null; // {id} while it is computed
let shown = null; // {id, page, last}

export function beginMany() {
  for (const id of ["many-files", "many-folder"])
    byId(id).addEventListener("change", () => {
      files = [...byId(id).files];
      describe();
    });
  byId("many-explain").addEventListener("click", () => run().catch(complain));
  byId("many-withdraw").addEventListener("click", () => stop().catch(complain));
  byId("many-sort").addEventListener("change", () => turn(1).catch(complain));
  byId("many-back").addEventListener("click", () => turn(shown.page - 1).catch(complain));
  byId("many-next").addEventListener("click", () => turn(shown.page + 1).catch(complain));
  for (const name of ["model", "methods", "target"]) on(name, describe);
  describe();
}

const chosen = () => methodsAsked()[0];
const target = () => (Number.isInteger(state.target) ? state.target : "argmax");

function describe() {
  if (!state.model) return;
  byId("many-explain").disabled = !files.length || job !== null;
  const method = [...state.chosen.keys()][0];
  const of = target() === "argmax" ? "each for what it is predicted to be" : `all for class ${state.model.classes[target()] ?? target()}`;
  byId("many-about").textContent = `${titled(method ?? "no method")} on ${state.model.name}, ${of}.`;
}

function say(words, done = null, total = null) {
  byId("many-told").textContent = words;
  byId("many-progress").hidden = total === null;
  if (total !== null) Object.assign(byId("many-progress"), { value: done, max: total });
}

async function run() {
  const method = chosen();
  show("many-error", null);
  if (!method || method.fault) throw new Error(method?.fault ?? "Choose a method first.");
  byId("many-shown").hidden = true;
  job = { id: null };
  describe();
  say(`Sending ${files.length === 1 ? files[0].name : `${files.length} files`} ...`);
  const dataset = await sendDataset(await packed(files, state.model));
  const asked = { model: state.model.name, method, target: target(), input: { dataset: dataset.digest } };
  const [answer] = await explain(asked, null, { wait: 0 });
  if (!["queued", "running"].includes(answer.status)) return finished(answer.id);
  job.id = answer.id;
  byId("many-withdraw").hidden = false;
  say(`${dataset.count} inputs wait for their turn.`, 0, dataset.count);
  follow(answer.id, (news) => hear(answer.id, news).catch(complain));
}

async function hear(id, { status, progress, error }) {
  if (status === "succeeded") return finished(id);
  if (status === "failed") throw new Problem(error);
  if (status === "cancelled") return ended("Withdrawn; what was explained is kept.");
  if (progress) say(`${progress.done} of ${progress.total} ${progress.unit}`, progress.done, progress.total);
}

async function stop() {
  const { id } = job;
  unfollow(id);
  await withdraw(id);
  ended("Withdrawn; what was explained is kept.");
}

function ended(words) {
  job = null;
  byId("many-withdraw").hidden = true;
  say(words);
  describe();
}

function complain(error) {
  ended("");
  show("many-error", error.message);
  if (!(error instanceof Problem) && error.constructor !== Error) throw error;
}

async function finished(id) {
  const { count } = await itemsOf(id);
  ended(count === 1 ? "1 input is explained." : `${count} inputs are explained.`);
  shown = { id, page: 1, last: Math.ceil(count / PER_SHEET) };
  byId("many-summary").src = await addressOf(`${pathOf(id)}/collection.png`);
  const links = [
    ["archive.zip", "All as a .zip"],
    ["items.csv", "Table"],
    ["collection.safetensors", "Maps, stacked"],
  ];
  const made = links.map(async ([file, words]) => el("a", { href: await addressOf(`${pathOf(id)}/${file}`), download: file }, words));
  byId("many-files-made").replaceChildren(...(await Promise.all(made)).flatMap((link) => [link, " "]));
  byId("many-shown").hidden = false;
  await turn(1);
}

async function turn(page) {
  const sort = byId("many-sort").value;
  shown.page = page;
  byId("many-sheet").src = await addressOf(`${pathOf(shown.id)}/contact_sheet.png?page=${page}&sort=${sort}`);
  byId("many-page").textContent = `Sheet ${page} of ${shown.last}`;
  byId("many-back").disabled = page <= 1;
  byId("many-next").disabled = page >= shown.last;
}
