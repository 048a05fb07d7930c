// The methods by family, each with its question, and the form of those that are chosen.

import { byId, el, show, titled } from "./dom.js";
import { WrongField, fieldId, parametersForm } from "./form.js";
import { on, reasonAgainst, state, tell } from "./state.js";

const FIRST = [
  "gradient",
  "cam",
  "lrp",
  "pattern",
  "perturbation",
  "structure",
  "synthesis",
  "uncertainty",
  "evaluation",
  "dataset",
];
const FAMILIES = {
  cam: "Class activation maps",
  gradient: "Gradients",
  lrp: "Relevance propagation",
  perturbation: "Perturbation",
  pattern: "Patterns and signal",
  structure: "Inside the model",
  synthesis: "Pictures made for a unit",
  uncertainty: "How sure is it",
  evaluation: "Judging explanations",
  dataset: "Over a dataset",
};
const forms = new Map();

export function beginMethods() {
  on("model", build);
  byId("search").addEventListener("input", narrow);
}

// Called once more after a link was followed.
export function build() {
  forms.clear();
  const families = [...new Set(state.methods.map((one) => one.family))].sort(
    (a, b) => FIRST.indexOf(a) - FIRST.indexOf(b),
  );
  byId("methods").replaceChildren(...families.map(family));
  count();
}

function family(name) {
  const members = state.methods.filter((one) => one.family === name && one.name !== "predict");
  const open = members.some((one) => state.chosen.has(one.name));
  return el(
    "details",
    { class: "family", open },
    el("summary", {}, FAMILIES[name] ?? titled(name), el("small", {})),
    members.map(row),
  );
}

function row(method) {
  const reason = reasonAgainst(state.model, method.name);
  const closed = Boolean(reason) && !hasParameters(method);
  const chosen = state.chosen.has(method.name) && !closed;
  const box = el("input", {
    type: "checkbox",
    id: `m-${method.name}`,
    checked: chosen,
    disabled: closed,
    "aria-describedby": `q-${method.name}`,
  });
  const place = el("div", { class: "form" });
  box.addEventListener("change", () => choose(method, box.checked, place));
  const element = el(
    "div",
    {
      class: closed ? "method off" : "method",
      "data-words": `${method.name} ${titled(method.name)} ${method.question}`.toLowerCase(),
    },
    box,
    el("label", { for: box.id }, titled(method.name)),
    el("span", { class: "cost", title: "How often the model runs" }, method.cost),
    el("p", { id: `q-${method.name}` }, reason ? `Not for this model${closed ? "" : " by default"}: ${reason}.` : method.question),
    place,
  );
  if (chosen) addForm(method, place);
  return element;
}

// Where a method has parameters, what the card says of the default ones is not the last word.
function hasParameters(method) {
  return Object.keys(method.parameters.properties).some((name) => name !== "name" && name !== "seed");
}

function choose(method, wanted, place) {
  if (wanted) {
    state.chosen.set(method.name, state.chosen.get(method.name) ?? {});
    addForm(method, place);
  } else {
    state.chosen.delete(method.name);
    forms.delete(method.name);
    place.replaceChildren();
  }
  count();
  tell("methods");
}

function addForm(method, place) {
  const form = parametersForm(method, state.chosen.get(method.name), () => tell("methods"));
  forms.set(method.name, form);
  if (!form.names.length) return;
  const missing = (method.parameters.required ?? []).length > 0;
  place.replaceChildren(el("details", { open: missing }, el("summary", {}, "Parameters"), form.element));
}

function count() {
  const many = [...state.chosen].filter(
    ([name, changed]) => !reasonAgainst(state.model, name) || Object.keys(changed).length,
  ).length;
  byId("chosen").textContent = `${many} chosen`;
  for (const details of byId("methods").children) {
    const here = details.querySelectorAll(".method > input:checked").length;
    details.querySelector("summary small").textContent = here ? ` ${here} chosen` : "";
  }
}

function narrow() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const details of byId("methods").children) {
    const rows = [...details.querySelectorAll(".method")];
    for (const one of rows) one.hidden = !words.every((word) => one.dataset.words.includes(word));
    details.hidden = rows.every((one) => one.hidden);
    if (words.length && !details.hidden) details.open = true;
  }
}

// The chosen methods that the model supports, with their parameters; null and an error at the field where one is wrong.
export function methodsAsked() {
  const asked = [];
  for (const [name, form] of forms) {
    try {
      const parameters = form.read();
      state.chosen.set(name, parameters);
      asked.push({ name, ...parameters });
    } catch (error) {
      if (!(error instanceof WrongField)) throw error;
      showFieldError(name, error.field, error.message);
      return null;
    }
  }
  return asked;
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
