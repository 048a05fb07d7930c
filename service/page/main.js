// The page begins: what there is to choose from, then what the address names.

import { Problem, ask, datasets, keepKey, methods, models } from "./api.js";
import { byId, el, show } from "./dom.js";
import { beginExplaining } from "./explain.js";
import { loadColours } from "./results/heat.js";
import { beginInput, give, offer } from "./input/input.js";
import { beginLinks, restore } from "./link.js";
import { beginLook } from "./results/look.js";
import { beginMany } from "./input/many.js";
import { beginMethods, chooseSupported } from "./methods.js";
import { beginPrediction } from "./results/prediction.js";
import { beginResults } from "./results/results.js";
import { isImage, modelNamed, on, severalOf, shapeText, state, tell, textOf } from "./state.js";
import { beginTarget } from "./target.js";

const PATIENCE = 2000;
const LOOK = 10000;

const READY = (one) => one.state === "ready";

// Every model there is; one that cannot be asked for says why, and the one that is chosen stays, whatever becomes of it.
function listModels(found) {
  const chosen = byId("model").value;
  if (chosen && !found.some((one) => one.name === chosen)) found = [{ name: chosen, state: "gone" }, ...found];
  const options = found.map((one) =>
    READY(one)
      ? el("option", { value: one.name }, one.name)
      : el("option", { value: one.name, disabled: "", title: one.reason ?? "" }, `${one.name} (${one.state})`),
  );
  byId("model").replaceChildren(...options);
  byId("model").value = chosen || found.find(READY).name;
}

// Models come and go while the page is open.
async function lookAgain() {
  try {
    const found = await models();
    if (JSON.stringify(found) !== JSON.stringify(state.all)) {
      Object.assign(state, { all: found, models: found.filter(READY) });
      listModels(found);
      const [{ name, digest }, now] = [state.model, modelNamed(state.model.name)];
      const reason = found.find((one) => one.name === name)?.state ?? "no longer served";
      show("model-error", now ? null : `${name} is ${reason}. What is here stays; this page looks again.`);
      if (now && now.digest !== digest) chooseModel();
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
  setTimeout(lookAgain, LOOK);
}

// The image stays where the next model takes images, too; else there is something to begin with.
function chooseModel() {
  const { model: before, input } = state;
  const stays = before && input && !input.pending && !input.opening && isImage(before) && isImage(modelNamed(byId("model").value));
  enter();
  if (stays) give(input);
  else offer();
}

function enter() {
  state.model = modelNamed(byId("model").value);
  chooseSupported();
  state.target = null;
  tell("model");
}

function about({ input, inputs, outputs, accuracy, classes }) {
  const takes = isImage(state.model)
    ? `images ${input.shape.slice(1).every((size) => size === "*") ? "of any size" : `as ${shapeText(input.shape.slice(1))}`}`
    : textOf(state.model)
      ? `texts of up to ${textOf(state.model).length} tokens`
      : severalOf(state.model)
        ? `the inputs ${Object.entries(inputs).map(([name, one]) => `${name} (${one.kind})`).join(", ")}`
        : `tensors of the shape ${shapeText(input.shape)}`;
  const gives = classes.length ? `${classes.length} classes` : `outputs ${shapeText(outputs)}`;
  return `${takes}; ${gives}${accuracy ? `; ${(accuracy * 100).toFixed(1)} % right on its test data` : ""}`;
}

async function begin() {
  try {
    const [found, known, sets, colours] = await Promise.all([
      models(),
      methods(),
      datasets(),
      ask("/page/colours.json"),
    ]);
    if (!found.some(READY))
      throw new Problem({
        code: "no_worker",
        detail: found.length
          ? `No model is ready yet (${found.map((one) => `${one.name}: ${one.state}`).join(", ")}); this page looks again.`
          : "No worker has told of a model yet, so none is served; this page looks again.",
      });
    Object.assign(state, { all: found, models: found.filter(READY), methods: known, datasets: sets });
    await loadColours(colours);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    show("model-error", error.message);
    if (error.code === "key_required") askForKey();
    else setTimeout(begin, PATIENCE);
    return;
  }
  show("model-error", null);
  listModels(state.all);
  setTimeout(lookAgain, LOOK);
  byId("model").addEventListener("change", chooseModel);
  beginLook();
  beginResults();
  beginInput();
  beginTarget();
  beginPrediction();
  beginMethods();
  beginExplaining();
  beginLinks();
  beginMany();
  on("model", () => (byId("model-about").textContent = about(state.model)));
  enter();
  document.querySelector("main").classList.remove("waiting");
  if (!(await restore())) offer();
}

function askForKey() {
  byId("key-asked").hidden = false;
  byId("key").focus();
}

function useKey() {
  keepKey(byId("key").value.trim());
  byId("key-asked").hidden = true;
  begin();
}

byId("key-kept").addEventListener("click", useKey);
byId("key").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  useKey();
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address holds ids
  byId("results").focus();
});
begin();
