"""The walk back by fitted patterns: PatternNet and PatternAttribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from workers.engine.layers.linear_units import RESCALING, Neuron, Weighted, neurons
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.propagation import pattern_rules
from workers.engine.rules.backward import Watch, propagate
from workers.engine.rules.rule import Gradient, Pass, Rule


def walk(
    model: Model, batch: Batch, state: Mapping[str, Any], weigh: bool, watch: Watch | None = None
) -> tuple[Tensor, Tensor]:
    """The scores (n,), and what arrives at the input when each row's score is handed back along the patterns.

    `state` is that of a pattern_fit; with `weigh` a pattern a is handed w a (PatternAttribution), else a (PatternNet).
    """
    scores, ones = model.start(batch)
    tape = model.tape(batch)
    start = {index: one * tape.values[index] for index, one in ones.items()}
    rules = _rules(model, state, weigh)
    gradient, rescaled = Gradient(), Pass() if weigh else pattern_rules.Undo()

    def rule_of(local: Any) -> Rule:
        other = rescaled if local.node.op in RESCALING else gradient
        return rules.get(local.node.index, other)

    return scores, propagate(tape, start, rule_of, watch=watch)[0]


def of_neuron(neuron: Neuron, state: Mapping[str, Any]) -> tuple[Tensor, Tensor] | None:
    """The patterns where a unit's output is positive and where not, shaped like its weights; None of the identity."""
    layer, like = neuron.node.layer, neuron.weight
    if f"{layer}.identity" in state:
        return None
    if f"{layer}.pattern" in state:
        one = torch.as_tensor(state[f"{layer}.pattern"]).to(like)
        return one, one
    positive, negative = (torch.as_tensor(state[f"{layer}.{sign}"]).to(like) for sign in ("positive", "negative"))
    return positive, negative


def mean_of(neuron: Neuron, state: Mapping[str, Any]) -> Tensor | None:
    """The mean output of each unit (units,), where the patterns are centred: their estimator is a (y - E[y])."""
    found = state.get(f"{neuron.node.layer}.mean")
    return None if found is None else torch.as_tensor(found).to(neuron.weight)


def _rules(model: Model, state: Mapping[str, Any], weigh: bool) -> dict[int, Rule]:
    return {neuron.node.index: _rule(neuron, of_neuron(neuron, state), weigh) for neuron in neurons(model)}


def _rule(neuron: Neuron, found: tuple[Tensor, Tensor] | None, weigh: bool) -> Rule:
    if not isinstance(neuron, Weighted):
        return pattern_rules.SummedPattern(*found, weigh) if found else pattern_rules.SummedSignal(weigh)
    if found is None:
        return pattern_rules.AllSignal(neuron, neuron.weight if weigh else torch.ones_like(neuron.weight))
    positive, negative = found
    if not weigh:
        return pattern_rules.Patterned(neuron, positive, negative)
    up = neuron.weight * positive
    return pattern_rules.Patterned(neuron, up, up if negative is positive else neuron.weight * negative)
