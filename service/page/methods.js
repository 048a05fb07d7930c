// The methods as chips: a few that suit most questions, all of them by family, or those that a search finds; and the form
// of each that is chosen.

import { byId, el, show, titled } from "./dom.js";
import { WrongField, fieldId, parametersForm } from "./form.js";
import { methodNamed, on, reasonAgainst, state, tell } from "./state.js";

const FAMILIES = {
  gradient: "Gradients",
  lrp: "Relevance propagation",
  cam: "Class activation maps",
  pattern: "Patterns and signal",
  perturbation: "Perturbation",
  structure: "Inside the model",
  synthesis: "Pictures made for a unit",
  uncertainty: "How sure is it",
  evaluation: "Judging explanations",
  dataset: "Over a dataset",
};
const FIRST = Object.keys(FAMILIES);
const USUAL = [
  "integrated_gradients", "gradient", "smooth_grad", "deep_lift", "lrp", "grad_cam", "occlusion", "lime", "kernel_shap",
]; // prettier-ignore
const forms = new Map();

export function beginMethods() {
  on("model", build);
  byId("search").addEventListener("input", narrow);
  byId("all").addEventListener("click", () => {
    const open = byId("all").getAttribute("aria-expanded") !== "true";
    byId("all").setAttribute("aria-expanded", String(open));
    narrow();
  });
}

const rank = ({ name }) => (USUAL.includes(name) ? USUAL.indexOf(name) : USUAL.length);

// One that the model supports, where what was chosen is not: its default, or the first of the usual ones.
export function chooseSupported() {
  const supported = (name) => methodNamed(name) && !reasonAgainst(state.model, name);
  if ([...state.chosen.keys()].some(supported)) return;
  const rest = state.methods.filter(({ kind, takes_input: takes }) => kind === "attribution" && takes);
  const first = [state.model.default_method, ...USUAL, ...rest.map(({ name }) => name)].find(supported);
  state.chosen = new Map([[first ?? state.model.default_method, {}]]);
}

// Called once more after a link was followed.
export function build() {
  forms.clear();
  byId("forms").replaceChildren();
  const families = [...new Set(state.methods.map((one) => one.family))].sort(
    (a, b) => FIRST.indexOf(a) - FIRST.indexOf(b),
  );
  byId("methods").replaceChildren(...families.map(family));
  byId("all").textContent = `All ${state.methods.length - 1}`;
  for (const name of state.chosen.keys()) if (!closed(methodNamed(name))) addForm(methodNamed(name));
  narrow();
  count();
}

function family(name) {
  const members = state.methods.filter((one) => one.family === name && one.name !== "predict");
  members.sort((a, b) => rank(a) - rank(b));
  const title = FAMILIES[name] ?? titled(name);
  return el("div", { class: "family", role: "group", "aria-label": title }, el("h3", {}, title), members.map(chip));
}

// Where a method has parameters, what the card says of the default ones is not the last word.
const closed = (method) => Boolean(reasonAgainst(state.model, method.name)) && !hasParameters(method);

function hasParameters(method) {
  return Object.keys(method.parameters.properties).some((name) => name !== "name" && name !== "seed");
}

function chip(method) {
  const reason = reasonAgainst(state.model, method.name);
  const off = closed(method);
  const box = el("input", {
    type: "checkbox",
    id: `m-${method.name}`,
    checked: state.chosen.has(method.name) && !off,
    disabled: off,
    "aria-describedby": `q-${method.name}`,
  });
  box.addEventListener("change", () => choose(method, box.checked));
  const said = reason ? `Not for this model${off ? "" : " by default"}: ${reason}.` : `${method.question} (${method.cost})`;
  const tellAbout = () => (byId("about").textContent = `${titled(method.name)}: ${said}`);
  return el(
    "div",
    {
      class: `method${off ? " off" : ""}${reason ? " refused" : ""}`,
      "data-name": method.name,
      "data-words": `${method.name} ${titled(method.name)} ${method.question}`.toLowerCase(),
      onpointerenter: tellAbout,
      onfocusin: tellAbout,
    },
    el("label", { for: box.id }, box, el("span", {}, titled(method.name))),
    el("p", { id: `q-${method.name}` }, said),
  );
}

function choose(method, wanted) {
  if (wanted) {
    state.chosen.set(method.name, state.chosen.get(method.name) ?? {});
    addForm(method);
  } else {
    state.chosen.delete(method.name);
    forms.get(method.name)?.element.remove();
    forms.delete(method.name);
  }
  count();
  tell("methods");
}

function addForm(method) {
  const form = parametersForm(method, state.chosen.get(method.name), () => tell("methods"));
  const missing = (method.parameters.required ?? []).length > 0;
  const element = form.names.length
    ? el("details", { class: "chosen", open: missing }, el("summary", {}, titled(method.name)), form.element)
    : el("span", {});
  forms.set(method.name, { read: form.read, element });
  byId("forms").append(element);
}

function count() {
  byId("chosen").textContent = `${forms.size} chosen`;
  byId("parameters-title").hidden = !byId("forms").querySelector("details");
}

// Seen are the usual ones and the chosen, or all, or those that a search finds.
function narrow() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = byId("all").getAttribute("aria-expanded") === "true";
  byId("methods").className = all || words.length ? "open" : "";
  for (const group of byId("methods").children) {
    const chips = [...group.querySelectorAll(".method")];
    for (const one of chips) {
      const usual = USUAL.includes(one.dataset.name) && !one.classList.contains("refused");
      const found = words.every((word) => one.dataset.words.includes(word));
      one.hidden = words.length ? !found : !(all || usual || one.querySelector("input").checked);
    }
    group.hidden = chips.every((one) => one.hidden);
  }
}

// The chosen methods with their parameters; with a fault where a field is wrong, which says so beside it.
export function methodsAsked() {
  return [...forms].map(([name, form]) => {
    try {
      const parameters = form.read();
      state.chosen.set(name, parameters);
      return { name, ...parameters };
    } catch (error) {
      if (!(error instanceof WrongField)) throw error;
      showFieldError(name, error.field, error.message);
      return { name, fault: `${titled(error.field)}: ${error.message}` };
    }
  });
}

// Whether there was a field to show it at.
export function showFieldError(method, field, message) {
  const id = fieldId(method, field);
  const input = byId(id);
  if (!input) return false;
  input.setAttribute("aria-invalid", "true");
  show(`${id}-error`, message);
  for (let up = input.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
  if (document.activeElement === byId("explain")) input.focus();
  return true;
}
