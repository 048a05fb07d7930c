// What a check says, in a plain sentence.

import { number } from "./dom.js";

// At most 100 % where anything is missing, and no more digits than say something.
function percent(share) {
  const value = share * 100;
  const off = Math.abs(100 - value);
  const digits = off === 0 ? 0 : Math.max(0, Math.min(4, Math.ceil(-Math.log10(off))));
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
