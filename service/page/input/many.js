// Many inputs in one job: sent as one dataset, followed, and shown as a summary and contact sheets.

import { Problem, addressOf, explain, itemsOf, pathOf, read, sendDataset, withdraw } from "../api.js";
import { byId, el, show, titled } from "../dom.js";
import { follow, unfollow } from "../follow.js";
import { methodsAsked } from "../methods.js";
import { packed } from "./pack.js";
import { labelOf, on, severalOf, state, tell, textOf } from "../state.js";

const PER_SHEET = 24;
let files = [];
let job = null; // {id} while it is computed
let shown = null; // {id, page, last, about}

export function beginMany() {
  for (const id of ["many-files", "many-folder"])
    byId(id).addEventListener("change", () => {
      files = [...byId(id).files];
      describe();
    });
  on("many", (dropped) => {
    files = dropped;
    byId("many").open = true;
    byId("many").scrollIntoView();
    describe();
    byId("many-explain").focus();
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

// Why the model's inputs are not sent as one job.
function unfit(model) {
  if (textOf(model)) return `${model.name} takes texts; a job takes images and numbers. The Python client's explain_many sends texts.`;
  if (severalOf(model)) return `${model.name} takes several inputs by name; a job takes one for each item. The Python client's explain_many sends them.`;
  return null;
}

const chosenNow = () => {
  const of = target() === "argmax" ? "each for what it is predicted to be" : `all for ${labelOf(state.model, target())}`;
  return `${titled([...state.chosen.keys()][0] ?? "no method")} on ${state.model.name}, ${of}`;
};

function describe() {
  if (!state.model) return;
  const reason = unfit(state.model);
  byId("many-explain").disabled = !files.length || job !== null || reason !== null;
  const count = files.length > 1 ? `${files.length} files: ` : files.length ? `${files[0].name}: ` : "";
  byId("many-about").textContent = reason ?? `${count}${chosenNow()}.`;
  show("many-was", shown && shown.about !== chosenNow() ? `What stands here is of ${shown.about}.` : null);
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
  shown = null;
  const mine = (job = { id: null, about: chosenNow() });
  describe();
  say(`Sending ${files.length === 1 ? files[0].name : `${files.length} files`} ...`);
  const dataset = await sendDataset(await packed(files, state.model));
  const asked = { model: state.model.name, method, target: target(), input: { dataset: dataset.digest } };
  const [answer] = await explain(asked, null, { wait: 0 });
  if (job === mine) await begun(answer, `${dataset.count} inputs wait for their turn.`, dataset.count);
}

// The address names the job, so that it is found again when the page is opened anew.
async function begun(answer, words, count) {
  state.job = answer.id;
  tell("ids");
  if (!["queued", "running"].includes(answer.status)) return hear(answer.id, answer);
  job.id = answer.id;
  byId("many-withdraw").hidden = false;
  say(words, 0, count);
  follow(answer.id, (news) => hear(answer.id, news).catch(complain));
}

// What the address names, or null, in place of what was here.
export async function resume(id) {
  if (id === state.job) return;
  if (job?.id) unfollow(job.id);
  state.job = id;
  shown = null;
  byId("many-shown").hidden = true;
  ended("");
  if (!id) return;
  byId("many").open = true;
  const mine = (job = { id: null, about: null });
  try {
    const answer = await read(id);
    if (job !== mine) return;
    job.about = `${titled(answer.method?.of?.name ?? "a method")} on ${answer.model.name ?? answer.model}`;
    describe();
    await begun(answer, "It goes on.", null);
  } catch (error) {
    if (job === mine) complain(error);
  }
}

async function hear(id, { status, progress, error }) {
  if (id !== state.job) return;
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
  const { about } = job;
  const [{ count }, { info }] = await Promise.all([itemsOf(id), read(id)]);
  if (id !== state.job) return;
  shown = { id, page: 1, last: Math.ceil(count / PER_SHEET), about };
  const sort = byId("many-sort");
  const labelled = info.dataset_classes.length > 0; // else nobody knows which are mistaken
  sort.querySelector("[value=mistaken]").hidden = !labelled;
  if (!labelled && sort.value === "mistaken") sort.value = "index";
  const failed = info.failed?.length ? ` The first that is not: item ${info.failed[0].index}, ${info.failed[0].detail}.` : "";
  const told = info.explained < count ? `${info.explained} of ${count}` : count;
  ended(`${told} ${count === 1 ? "input is" : "inputs are"} explained.${failed}`);
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
