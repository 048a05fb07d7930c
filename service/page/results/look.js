// How all pictures are drawn: colours, values, a scale of their own or a common one, the input beneath.

import { byId, el } from "../dom.js";
import { tell } from "../state.js";

export const STANDARD = { colours: "auto", values: "both", scale: "own", under: "0" };
export const look = { ...STANDARD };

const CHOICES = {
  colours: ["Colours", { auto: "automatic", blue_red: "blue and red", purple_green: "purple and green" }],
  values: [
    "Values",
    { both: "both signs", positive: "positive only", negative: "negative only", absolute: "magnitudes" },
  ],
  scale: ["Colour bar", { own: "each its own", method: "common to a method", all: "common to all" }],
};

export function beginLook() {
  const selects = Object.entries(CHOICES).map(([name, [label, values]]) => {
    const options = Object.entries(values).map(([value, text]) => el("option", { value }, text));
    return el("label", {}, label, el("select", { name }, options));
  });
  const slider = el("input", { type: "range", name: "under", min: 0, max: 1, step: 0.05, value: 0 });
  const keys = "Over a picture: arrow keys or pointer read a pixel, + and − or a double click zoom, Escape shows all.";
  const form = byId("look");
  const choices = el("div", { class: "tools" }, ...selects, el("label", {}, "Overlay on the input", slider));
  const open = matchMedia("(min-width: 56rem)").matches;
  form.append(
    el("details", { open }, el("summary", {}, "How they are drawn"), choices, el("p", { id: "keys", class: "faint" }, keys)),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    look[event.target.name] = event.target.value;
    tell("look");
  });
}

export function setLook(values) {
  Object.assign(look, STANDARD, values);
  for (const [name, value] of Object.entries(look)) byId("look").elements[name].value = value;
}

// The same choices as the query of a picture that the server draws.
export function lookQuery() {
  const asked = [];
  if (look.colours !== "auto") asked.push(`colormap=${look.colours}`);
  if (look.values !== "both") asked.push(`polarity=${look.values}`);
  return asked.length ? `?${asked.join("&")}` : "";
}
