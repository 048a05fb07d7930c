// What the colours of the maps mean, and what a check says, in plain sentences.

import { number, titled } from "../dom.js";
import { look } from "./look.js";
import { subjectOf } from "../state.js";

const COLOURS = { auto: ["Red", "blue"], blue_red: ["Red", "blue"], purple_green: ["Green", "purple"] };
// Derivatives: what a change of the input would do, not what the input does.
const SLOPES = ["gradient", "guided_backprop", "deconvnet"];

// What is told of each map of a result: of one input, or of each of several.
export const mapsOf = ({ attribution, attributions = {} }) => (attribution ? [attribution] : Object.values(attributions));

// What the colours of the maps mean, in one line.
export function legendOf(items) {
  if (!items.length) return "";
  const [strong, against] = COLOURS[look.colours];
  const targets = [...new Set(items.map((item) => subjectOf(item.model, item.result)))];
  const target = targets.length === 1 ? targets[0] : "the class above each";
  const signed = items.some((item) => (item.plane ? item.drawn.signed : mapsOf(item.result).some(({ min }) => min < 0)));
  const only = look.values === "negative" ? `${against[0].toUpperCase()}${against.slice(1)} speaks against ${target}` : null;
  const both = items.every((item) => item.model.output === "value")
    ? `${strong} raises ${target}, ${against} lowers it`
    : `${strong} speaks for ${target}, ${against} against it`;
  const meaning = only ?? (signed ? both : `The stronger the colour, the more it counts for ${target}`);
  const slopes = items.filter((item) => SLOPES.includes(item.method.name)).map((item) => titled(item.method.name));
  const steep = slopes.length && signed ? `; in ${slopes.join(", ")} ${strong.toLowerCase()} is where more of the input would raise it` : "";
  const drawnHere = items.filter((item) => item.plane && !item.plane.names); // bars of a row tell their own numbers
  if (!drawnHere.length) return `${meaning}${steep}.`;
  const [one] = drawnHere;
  const strongest = one.drawn.values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  const end =
    drawnHere.length === 1
      ? `the bar ends at the 99.5th percentile, ${number(one.drawn.limit)}; the strongest is ${number(strongest)}`
      : look.scale === "own"
        ? "each bar ends at the 99.5th percentile of its map"
        : "bars end at the largest 99.5th percentile among them";
  return `${meaning}${steep}; ${end}.`;
}

// No more digits than say something, and two at most: what a stabiliser takes is nothing.
function percent(share) {
  const value = share * 100;
  const off = Math.abs(100 - value);
  const digits = off < 5e-3 ? 0 : Math.max(0, Math.ceil(-Math.log10(off)));
  return `${value.toFixed(Math.max(digits, Math.abs(value) < 10 ? 1 : 0)).replace("-", "−")} %`;
}

const share = (verb, whole) => (check) =>
  check.expected === 0
    ? `Sums to ${number(check.observed)}, where ${whole} is 0.`
    : `${verb} ${percent(check.observed / check.expected)} of ${whole} (${number(check.observed)} of ${number(check.expected)}).`;

const SENTENCES = {
  completeness: share("Explains", "the score difference"),
  conservation: share("Accounts for", "the score"),
  probability: share("Hands out", "the probability"),
  belief_and_uncertainty: share("Beliefs and uncertainty are", "1"),
  exactness: (check) => `Rebuilds the unit's value ${number(check.expected)} as ${number(check.observed)}.`,
  non_negative: (check) =>
    check.observed < 0 ? `The lowest value is ${number(check.observed)}, below 0.` : "No value is negative.",
  root: (check) => `The score at the root point is ${number(check.observed)}, where 0 is due.`,
};

// These compare with the score itself, not with its difference to a baseline.
const OF_THE_SCORE = new Set(["input_times_gradient", "simple_taylor"]);

export function sentence(check, method) {
  if (check.name === "completeness" && OF_THE_SCORE.has(method)) return share("Explains", "the score")(check);
  const say = SENTENCES[check.name];
  return say
    ? say(check)
    : `${check.name.replaceAll("_", " ")}: ${number(check.observed)}, where ${number(check.expected)} is due.`;
}
