"""Rules that walk back by patterns in place of weights (S2 A.2.3, A.3.3).

PatternNet hands the signal y of a unit on as a y, PatternAttribution the relevance r as w a r.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.graph.tape import Local
from workers.engine.layers.linear_units import Weighted
from workers.engine.rules.rule import fit, stabilise

STABILISER = 1e-9


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
