"""The walk back by fitted patterns in place of weights: PatternNet and PatternAttribution (S2 A.2.3, A.3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.tape import Local
from workers.engine.layers.linear_units import RESCALING, Neuron, Weighted, neurons
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.rules.backward import Observer, propagate
from workers.engine.rules.by_operation.passing import Gradient, Pass
from workers.engine.rules.rule import Rule, fit, stabilise

STABILISER = 1e-9


def walk(
    model: Model, batch: Batch, state: Mapping[str, Any], weigh: bool, watch: Observer | None = None
) -> tuple[Tensor, Tensor]:
    """The scores (n,), and what arrives at the input when each row's score is handed back along the patterns.

    `state` is that of a pattern_fit; with `weigh` a pattern a is handed w a (PatternAttribution), else a (PatternNet).
    """
    scores, ones = model.start(batch)
    tape = model.tape(batch)
    start = {index: one * tape.values[index] for index, one in ones.items()}
    rules = _rules(model, state, weigh)
    gradient, rescaled = Gradient(), Pass() if weigh else Undo()

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
        return SummedPattern(*found, weigh) if found else SummedSignal(weigh)
    if found is None:
        return AllSignal(neuron, neuron.weight if weigh else torch.ones_like(neuron.weight))
    positive, negative = found
    if not weigh:
        return Patterned(neuron, positive, negative)
    up = neuron.weight * positive
    return Patterned(neuron, up, up if negative is positive else neuron.weight * negative)


class Patterned:
    """A layer whose units hand back along `positive` where their output is positive, else along `negative`."""

    def __init__(self, neuron: Weighted, positive: Tensor, negative: Tensor) -> None:
        self.neuron = neuron
        self.positive = positive
        self.negative = negative

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        if self.positive is self.negative:
            return [_back(self.neuron, local, self.positive, relevance)]
        on = local.output.detach() > 0
        up, down = torch.where(on, relevance, 0.0), torch.where(on, 0.0, relevance)
        result = _back(self.neuron, local, self.positive, up)
        return [result + _back(self.neuron, local, self.negative, down)] if bool((down != 0).any()) else [result]


class AllSignal:
    """The identity estimator at a layer: the pattern of a unit is its input over its output, x / (w . x)."""

    def __init__(self, neuron: Weighted, weight: Tensor) -> None:
        self.neuron = neuron
        self.weight = weight

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        x = local.leaves[0].detach()
        y = self.neuron.call(x, self.neuron.weight)
        return [x * _back(self.neuron, local, self.weight, relevance / stabilise(y, STABILISER))]


class SummedPattern:
    """A sum whose summands' patterns are `positive` and `negative` (summands, channels)."""

    def __init__(self, positive: Tensor, negative: Tensor, weigh: bool) -> None:
        self.positive = positive
        self.negative = negative
        self.weigh = weigh

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        on, ones = local.output.detach() > 0, [1] * (relevance.dim() - 2)
        shares = local.vjp(relevance) if self.weigh else [relevance] * len(local.leaves)
        return [
            None if share is None else share * torch.where(on, up.view(1, -1, *ones), down.view(1, -1, *ones))
            for share, up, down in zip(shares, self.positive, self.negative, strict=True)
        ]


class SummedSignal:
    """The identity estimator at a sum: each summand's pattern is its value over the sum."""

    def __init__(self, weigh: bool) -> None:
        self.weigh = weigh

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        per_unit = relevance / stabilise(local.output.detach(), STABILISER)
        shares = local.vjp(per_unit) if self.weigh else [per_unit] * len(local.leaves)
        return [
            None if share is None else leaf.detach() * share for leaf, share in zip(local.leaves, shares, strict=True)
        ]


class Undo:
    """One value rescaled or shifted: the pattern of y = s x is 1 / s."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        parts = []
        for leaf, slope in zip(local.leaves, local.vjp(torch.ones_like(relevance)), strict=True):
            known = None if slope is None else torch.where(slope == 0, 0.0, 1 / torch.where(slope == 0, 1.0, slope))
            parts.append(None if known is None else fit(relevance, leaf) * known)
        return parts


def _back(neuron: Weighted, local: Local, weight: Tensor, relevance: Tensor) -> Tensor:
    """The vector-Jacobian product of the layer, were these its weights."""
    leaf = local.leaves[0].detach().requires_grad_()
    with torch.enable_grad():
        output = neuron.call(leaf, weight)
    return torch.autograd.grad(output, leaf, relevance)[0]
