"""Signal estimators S(x) = a y of linear neurons, fitted in one pass over a dataset (S2 section 4).

The moments are kept in float64, centred, and merged batch by batch (Chan, Golub, LeVeque 1983): memory is that of a few
sets of weights, however many items there are, and nothing cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.data.streaming import stream
from workers.engine.layers.linear_units import Neuron, neurons, over_units
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model

Estimator: TypeAlias = Literal["two_component", "linear", "filter", "identity"]
Patterns: TypeAlias = dict[str, Tensor]
_KEPT = ("count", "x", "y", "xy")
CONSTANT = 10  # rounding errors of the mean: an output that varies by no more does not vary


@dataclass
class Moments:
    """Of each unit how often it is in its regime, and there the means of x and y and the sum of their co-deviations."""

    neuron: Neuron
    count: Tensor
    x: Tensor
    y: Tensor
    xy: Tensor

    @classmethod
    def of(cls, neuron: Neuron) -> Moments:
        weights = torch.zeros_like(neuron.weight, dtype=torch.float64)
        units = torch.zeros_like(neuron.total(weights))
        return cls(neuron, units, weights, units.clone(), weights.clone())

    def add(self, inputs: Sequence[Tensor], y: Tensor, regime: Tensor) -> None:
        """Take in the samples and places of a batch where `regime` is 1."""
        neuron, axis = self.neuron, self.neuron.axis % y.dim()
        count = over_units(regime, axis).double()
        mean_y = over_units(regime * y, axis).double() / count.clamp(min=1)
        mean_x = neuron.correlate(inputs, regime).double() / neuron.spread(count.clamp(min=1))
        placed = mean_y.to(y.dtype).view(-1, *[1] * (y.dim() - 1 - axis))
        off = regime * (y - placed)
        xy = neuron.correlate(inputs, off).double() - mean_x * neuron.spread(over_units(off, axis).double())
        total = self.count + count
        share = count / total.clamp(min=1)
        self.xy += xy + (mean_x - self.x) * neuron.spread((mean_y - self.y) * self.count * share)
        self.x += (mean_x - self.x) * neuron.spread(share)
        self.y += (mean_y - self.y) * share
        self.count = total

    def covariance(self) -> Tensor:
        return self.xy / self.neuron.spread(self.count.clamp(min=1))

    def floor(self) -> Tensor:
        """The variance of y that rounding alone makes; infinite for a unit that is never in its regime."""
        rounding = CONSTANT * torch.finfo(self.neuron.weight.dtype).eps * self.y.square()
        return torch.where(self.count > 0, rounding, torch.inf)


@dataclass
class _Gathered:
    """The moments of all neurons and regimes, in order."""

    of: list[Moments]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {f"{i} {name}": getattr(one, name).cpu().numpy() for i, one in enumerate(self.of) for name in _KEPT}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        for i, one in enumerate(self.of):
            for name in _KEPT:
                setattr(one, name, torch.from_numpy(arrays[f"{i} {name}"]).to(one.count.device))


def fit(model: Model, batch: Batch, dataset: str, estimator: Estimator, centred: bool) -> Patterns:
    """The patterns of every linear neuron, by layer and by what they hold for; raises MethodNotApplicable.

    `layer.positive` and `layer.negative` hold where a unit's output is positive and where it is not, `layer.pattern`
    everywhere; `layer.identity` says that all of the input is signal. Centred ones come with the units' mean outputs
    `layer.mean`, for their estimator is a (y - E[y]).
    """
    found = neurons(model)
    if estimator == "identity":
        return {f"{n.node.layer}.identity": torch.ones(1, device=model.device) for n in found}
    if estimator == "filter":
        return {f"{n.node.layer}.pattern": normalised(n, n.weight.double()) for n in found}
    regimes = ("pattern",) if estimator == "linear" else ("positive", "negative")
    moments = [{regime: Moments.of(n) for regime in regimes} for n in found]
    keep = {index for n in found for index in (n.node.index, *n.node.inputs)}
    with torch.no_grad():
        for x in stream(model, batch, dataset, _Gathered([m for of_regime in moments for m in of_regime.values()])):
            _, values = model.folded.run(x, keep)
            for n, of_regime in zip(found, moments, strict=True):
                y = values[n.node.index]
                for regime, moment in of_regime.items():
                    moment.add([values[i] for i in n.node.inputs], y, _within(regime, y))
    patterns = {
        f"{n.node.layer}.{regime}": normalised(n, _direction(moment, of_regime, centred), moment.floor())
        for n, of_regime in zip(found, moments, strict=True)
        for regime, moment in of_regime.items()
    }
    if estimator == "linear" or not centred:  # of one pattern for all inputs a mean changes nothing but a constant
        return patterns
    means = {f"{n.node.layer}.mean": _output(n, of_regime) for n, of_regime in zip(found, moments, strict=True)}
    return patterns | means


def normalised(neuron: Neuron, direction: Tensor, floor: Tensor | None = None) -> Tensor:
    """The direction of each unit at the length where w . a = 1; zero where w . direction is within the floor."""
    along = neuron.total(neuron.weight.double() * direction)
    found = along.abs() > (0 if floor is None else floor)
    return direction * neuron.spread(torch.where(found, 1 / torch.where(found, along, 1.0), 0.0))


def _within(regime: str, y: Tensor) -> Tensor:
    if regime == "pattern":
        return torch.ones_like(y)
    return ((y > 0) if regime == "positive" else (y <= 0)).to(y.dtype)


def _output(neuron: Neuron, of_regime: Mapping[str, Moments]) -> Tensor:
    """Each unit's mean of y = w . x over all regimes, its bias left out."""
    count = torch.stack([m.count for m in of_regime.values()])
    shares = zip(of_regime.values(), count / count.sum(0), strict=True)
    mean: Tensor = sum(neuron.spread(share) * m.x for m, share in shares)  # type: ignore[assignment]  # never empty
    return neuron.total(neuron.weight.double() * mean)


def _direction(moment: Moments, of_regime: Mapping[str, Moments], centred: bool) -> Tensor:
    """What equation 8 is a quotient of, E+[xy] - E+[x] E[y]; where centred, of x and y less their means."""
    spread, count = moment.neuron.spread, torch.stack([m.count for m in of_regime.values()])
    shares = list(zip(of_regime.values(), count / count.sum(0), strict=True))
    from_y = moment.y - sum(share * m.y for m, share in shares)
    from_x = moment.x - sum(spread(share) * m.x for m, share in shares) if centred else moment.x
    return moment.covariance() + from_x * spread(from_y)
