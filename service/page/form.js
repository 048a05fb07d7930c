// A form for the parameters of a method, made from its JSON Schema. What is not the default is what is sent.

import { el, titled } from "./dom.js";
import { state } from "./state.js";

export class WrongField extends Error {
  constructor(name, message) {
    super(message);
    this.field = name;
  }
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export function parametersForm(method, values, changed) {
  const { properties, required = [] } = method.parameters;
  const fields = Object.entries(properties).filter(([name]) => name !== "name");
  const made = fields.map(([name, schema]) =>
    fieldOf(method, name, schema, values[name], required.includes(name), changed),
  );
  const element = el(
    "div",
    { class: "parameters" },
    made.map((one) => one.element),
  );
  return {
    element,
    read: () => Object.assign({}, ...made.map((one) => one.read())),
    names: fields.map(([name]) => name),
  };
}

// The one schema that is not null, and whether null may be.
function plain(schema) {
  const choices = schema.anyOf ?? [schema];
  const rest = choices.filter((one) => one.type !== "null");
  return { schema: rest.length === 1 ? rest[0] : schema, nullable: rest.length < choices.length };
}

export const fieldId = (method, name) => `p-${method}-${name}`;

function fieldOf(method, name, schema, given, required, changed) {
  const { schema: kind, nullable } = plain(schema);
  const id = fieldId(method.name, name);
  const control = controlFor(kind, name, nullable || !required, schema.default);
  const value = given === undefined ? schema.default : given;
  Object.entries({ id, "aria-describedby": `${id}-about ${id}-error`, required: required || null }).forEach(
    ([key, text]) => text && control.input.setAttribute(key, text === true ? "" : text),
  );
  if (control.list) {
    control.list.id = `${id}-words`;
    control.input.setAttribute("list", control.list.id);
  }
  control.write(value ?? null);
  const error = el("small", { id: `${id}-error`, class: "error", role: "alert", hidden: true });
  control.input.addEventListener("change", () => {
    error.hidden = true;
    control.input.removeAttribute("aria-invalid");
    changed();
  });
  const none =
    kind.format === "dataset" && !state.datasets.length ? " No dataset is here yet: POST one to /api/v1/datasets." : "";
  const about = el("small", { id: `${id}-about` }, spelled(schema.description ?? ""), none);
  const read = () => {
    const found = control.read(name);
    if (found === undefined || same(found, schema.default ?? null)) return {};
    return { [name]: found };
  };
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, titled(name)), control.input, control.list ?? null, about, error),
    read,
  };
}

// What stands between backticks is code.
const spelled = (text) => text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));

function controlFor(schema, name, optional, standard) {
  if (schema.type === "boolean") return checkbox();
  if (schema.enum && schema.enum.every((one) => typeof one === "string"))
    return choice(schema.enum, optional && standard === null);
  if (schema.format === "dataset")
    return choice(
      state.datasets.map((one) => one.name ?? one.digest),
      true,
    );
  if (schema.format === "model")
    return choice(
      state.models.map((one) => one.name),
      true,
    );
  if (name === "layer" && schema.type === "string")
    return choice(
      state.model.layers.map((one) => one.name),
      true,
    );
  if (schema.type === "integer" || schema.type === "number") return numeral(schema);
  return free(schema, standard === null, words(schema));
}

// The words that a field may be where it may be other things, too.
function words(schema) {
  const named = (schema.anyOf ?? []).find((one) => one.enum?.every((word) => typeof word === "string"));
  return named ? named.enum : [];
}

function checkbox() {
  const input = el("input", { type: "checkbox" });
  return { input, write: (value) => (input.checked = value), read: () => input.checked };
}

function choice(values, empty) {
  const input = el(
    "select",
    {},
    empty ? el("option", { value: "" }, "–") : null,
    values.map((one) => el("option", { value: one }, one)),
  );
  const write = (value) => {
    if (value && ![...input.options].some((option) => option.value === value))
      input.append(el("option", { value }, value));
    input.value = value ?? "";
  };
  return { input, write, read: () => input.value || null };
}

function numeral(schema) {
  const whole = schema.type === "integer";
  const input = el("input", {
    type: "number",
    inputmode: whole ? "numeric" : "decimal",
    min: schema.minimum ?? schema.exclusiveMinimum,
    max: schema.maximum ?? (schema.exclusiveMaximum > 1e15 ? null : schema.exclusiveMaximum),
    step: schema.multipleOf ?? (whole ? 1 : "any"),
  });
  const read = (name) => {
    if (input.validity.badInput) throw new WrongField(name, "This is no number.");
    return input.value === "" ? null : Number(input.value);
  };
  return { input, write: (value) => (input.value = value ?? ""), read };
}

// Whatever has no control of its own: a word, words between commas, or JSON.
function free(schema, nullable, known) {
  const input = el("input", { type: "text", spellcheck: "false", autocomplete: "off" });
  const list = known.length
    ? el(
        "datalist",
        {},
        known.map((value) => el("option", { value })),
      )
    : null;
  const write = (value) => {
    const words = Array.isArray(value) && value.length && value.every((one) => typeof one !== "object");
    input.value =
      value === null ? "" : words ? value.join(", ") : typeof value === "string" ? value : JSON.stringify(value);
  };
  const read = (name) => parsed(input.value.trim(), schema.type === "array", nullable, name);
  return { input, write, read, list };
}

function parsed(text, listed, nullable, name) {
  if (text === "" && (nullable || !listed)) return null;
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new WrongField(name, `This begins as JSON and is none: ${error.message}`);
    }
  }
  const one = (word) => (word !== "" && !Number.isNaN(Number(word)) ? Number(word) : word);
  if (listed) return text ? text.split(",").map((word) => one(word.trim())) : [];
  return one(text);
}
