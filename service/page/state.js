// What is chosen and known, and who wants to hear when it changes.

export const state = {
  models: [],
  methods: [],
  datasets: [],
  model: null, // the chosen model's document
  input: null, // {key, name} and what it is: {blob} | {tensor} | {text} | {several} | {digest}, or {pending} until that is known;
  // {ready} once the server knows it, {pixels} once the model has seen it. Another input or model is another object
  prediction: null, // {id, top: [{index, label, score, probability}]}
  target: null, // null: the predicted class; else a class index or {layer, channel}
  pixel: null, // {x, y} of a segmentation, which `target` has as a mask
  compare: null, // {target} | {model}
  chosen: new Map(), // method name -> parameters that are not the default
  job: null, // the id of the many inputs that were sent as one
  items: [], // what is asked for, row by row
};

let inputs = 0;
export const newInput = (given) => ({ ...given, key: ++inputs, ready: false, pixels: null });

const listeners = new Map();

export function on(name, listener) {
  listeners.set(name, [...(listeners.get(name) ?? []), listener]);
}

export function tell(name, ...rest) {
  for (const listener of listeners.get(name) ?? []) listener(...rest);
}

export const modelNamed = (name) => state.models.find((one) => one.name === name);
export const methodNamed = (name) => state.methods.find((one) => one.name === name);
// Why the model does not support the method with its default parameters; with others, the answer tells.
export const reasonAgainst = (model, name) =>
  model.methods.find((one) => one.name === name && !one.supported)?.reason ?? null;
export const isImage = (model) => model.input.kind === "image";
// What the model takes, where that is one text.
export const textOf = ({ inputs }) => {
  const given = Object.values(inputs ?? {});
  return given.length === 1 && given[0].kind === "text" ? given[0] : null;
};
export const severalOf = ({ inputs }) => Object.keys(inputs ?? {}).length > 1;
export const isSketch = (model) =>
  isImage(model) && model.input.shape[0] === 1 && Math.max(...model.input.shape.slice(1)) <= 64;

// Whether the output is one number that is no class.
export const isLone = (model) => model.output === "value" && model.outputs.reduce((product, n) => product * n, 1) === 1;

// How many classes or numbers the output has: of one of any length, as many as there are.
export const countOf = ({ outputs }) => (outputs[0] === "*" ? Infinity : (outputs[0] ?? 1));

// A shape in words: `*` is a length that is the input's own.
export const shapeText = (shape) => shape.map((size) => (size === "*" ? "any" : size)).join(" × ");

// A class, or a number of a value, as a request names it.
export const namedBy = (index) => (Array.isArray(index) ? { index } : index);

// The target that a request names: the predicted class by its index, so that the link says which it was; of a value of
// several numbers the first.
export function targetAsked() {
  if (state.target !== null) return state.target;
  const best = isLone(state.model) ? undefined : state.prediction?.top[0]?.index;
  return namedBy(best) ?? "argmax";
}

export const sameTarget = (one, other) => JSON.stringify(one) === JSON.stringify(other);

export function labelOf(model, index) {
  if (isLone(model)) return "the output";
  if (model.output === "value") return model.classes[index] ?? `output ${index}`;
  return shortLabels(model)[index] ?? `class ${index}`;
}

const short = new WeakMap();

// The first of a class's synonyms, where no other class has it; no two classes are one word.
function shortLabels(model) {
  if (short.has(model)) return short.get(model);
  const firsts = model.classes.map((label) => label.split(",")[0].trim());
  const [counts, wholes] = [firsts, model.classes].map((all) => {
    const found = new Map();
    for (const one of all) found.set(one, (found.get(one) ?? 0) + 1);
    return found;
  });
  const labels = model.classes.map((label, index) => {
    if (label === String(index)) return `class ${index}`;
    if (firsts[index] && counts.get(firsts[index]) === 1) return firsts[index];
    return wholes.get(label) === 1 ? label : `${label} (${index})`;
  });
  short.set(model, labels);
  return labels;
}

export function targetText(model, target) {
  if (target === null || target === "argmax") return model.output === "value" ? "the output" : "the predicted class";
  if (target.reduce !== undefined) return `the ${target.reduce} of the outputs`;
  if (typeof target === "object") {
    if (target.mask) return `${labelOf(model, target.class ?? target.index)} ${placeText(target.mask)}`;
    if (target.layer !== undefined) {
      return target.channel === undefined
        ? `unit ${target.index} of ${target.layer}`
        : `channel ${target.channel} of ${target.layer}`;
    }
    return target.index === undefined ? "the output" : labelOf(model, target.index);
  }
  return labelOf(model, target);
}

// What a result explains; a method without a target says it itself.
export const subjectOf = (model, { info, target }) => info?.about ?? targetText(model, target);

function placeText(mask) {
  const count = mask.flat(Infinity).reduce((sum, one) => sum + Number(one), 0);
  if (count !== 1) return `at ${count} places`;
  const y = mask.findIndex((row) => row.some(Boolean));
  return `at x ${mask[y].findIndex(Boolean)}, y ${y}`;
}
