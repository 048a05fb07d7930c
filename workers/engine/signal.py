"""The quality of signal estimators, rho = 1 - max_v corr(y, v . (x - S(x))) (S2 equation 1), in closed form.

The residual d = x - a+ y+ - a- y- is linear in x and in y split by its sign. So its covariance is that of x, which all
units of a layer share, changed by four vectors; one factorisation per layer serves every unit, where the seed ran a
least-squares descent for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.engine.batch import Batch
from workers.engine.estimators import normalised
from workers.engine.model import Model
from workers.engine.neurons import Weighted, neurons
from workers.engine.patterns import of_neuron
from workers.engine.streaming import stream

MOST = 6144  # inputs and twice the units of a layer: its moments fill the square of that
RIDGE = 1e-6  # of the inputs' mean variance: directions in which they hardly vary tell nothing


@dataclass(frozen=True)
class Quality:
    """Of one layer the mean of rho over its units, and that of random patterns."""

    layer: str
    units: int
    fitted: float
    random: float


@dataclass
class Comoments:
    """Count, mean and sum of co-deviations of vectors, for each group, merged batch by batch in float64."""

    mean: Tensor
    products: Tensor
    count: int = 0

    def add(self, vectors: Tensor) -> None:
        """Take in vectors (groups, length, count)."""
        count = vectors.shape[2]
        mean = vectors.mean(2)
        off, step = vectors - mean[:, :, None], mean - self.mean
        total = self.count + count
        self.products += off @ off.mT + step[:, :, None] * step[:, None, :] * (self.count * count / total)
        self.mean += step * (count / total)
        self.count = total


def qualities(
    model: Model, batch: Batch, state: Mapping[str, Any], dataset: str, generator: torch.Generator
) -> tuple[list[Quality], list[str]]:
    """The quality of the patterns of every layer with weights, and the layers that are too wide to be measured."""
    weighted = [n for n in neurons(model) if isinstance(n, Weighted)]
    measured = [n for n in weighted if not n.transposed and _length(n) <= MOST]
    moments = [_empty(n) for n in measured]
    keep = {index for n in measured for index in (n.node.index, *n.node.inputs)}
    with torch.no_grad():
        for x in stream(model, batch, dataset):
            _, values = model.folded.run(x, keep)
            for n, moment in zip(measured, moments, strict=True):
                for vectors in _vectors(n, values[n.node.inputs[0]], values[n.node.index]):
                    moment.add(vectors)
    found = []
    for n, moment in zip(measured, moments, strict=True):
        drawn = torch.randn(n.weight.shape, generator=generator, dtype=torch.float64).to(model.device)
        random = normalised(n, drawn)
        fitted = of_neuron(n, state)
        ours = torch.ones(1) if fitted is None else rho(n, moment, *fitted)
        found.append(Quality(n.node.layer, n.units, _mean(ours), _mean(rho(n, moment, random, random))))
    return found, [n.node.layer for n in weighted if n not in measured]


def rho(neuron: Weighted, moments: Comoments, positive: Tensor, negative: Tensor) -> Tensor:
    """The quality of the patterns of each unit (units,); NaN of a unit whose output never changes."""
    up, down = (_columns(neuron, pattern.double()) for pattern in (positive, negative))
    groups, inputs, units = up.shape
    spread = moments.products / max(moments.count, 1)
    among, to_up, to_down = spread[:, :inputs].split_with_sizes([inputs, units, units], 2)
    signs = spread[:, inputs:, inputs:].view(groups, 2, units, 2, units).diagonal(dim1=2, dim2=4)  # cov of y+ and y-
    left = to_up + to_down - up * signs[:, 0].sum(1)[:, None] - down * signs[:, 1].sum(1)[:, None]  # cov[d, y]
    changes = torch.stack([to_up, to_down, up, down], 3)
    explained = _explained(among, changes, signs.permute(0, 3, 1, 2), left[..., None])
    return (1 - torch.sqrt((explained.clamp(min=0) / signs.sum((1, 2))).clamp(max=1))).flatten()


def _explained(among: Tensor, changes: Tensor, signs: Tensor, left: Tensor) -> Tensor:
    """left . C^-1 left for every unit (groups, units), by the matrix inversion lemma.

    C = cov[d, d] is `among`, the covariance of the inputs, plus U B U^T for the four columns U of `changes`, the
    covariances of x with y+ and y- and the patterns; the inverse of B is made of V, the covariance of y+ and y-.
    """
    ridge = RIDGE * among.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-30)
    factor = torch.linalg.cholesky(among + torch.diag_embed(ridge[:, None].expand(among.shape[:2])))
    columns = torch.cat([changes, left], 3)  # (groups, inputs, units, 5)
    solved = torch.cholesky_solve(columns.flatten(2), factor).view_as(columns)
    gram = torch.einsum("gdua,gdub->guab", columns, solved)
    one = torch.eye(2).to(gram).expand_as(signs)
    inverse = torch.cat([torch.cat([-signs, -one], 3), torch.cat([-one, torch.zeros_like(one)], 3)], 2)
    within, across, direct = gram[..., :4, :4], gram[..., :4, 4:], gram[..., 4, 4]
    by_changes: Tensor = across.mT @ torch.linalg.solve(inverse + within, across)
    return direct - by_changes[..., 0, 0]


def _length(neuron: Weighted) -> int:
    """The inputs of a unit and twice the units of a group."""
    return neuron.weight[0].numel() + 2 * (neuron.units // neuron.groups)


def _empty(neuron: Weighted) -> Comoments:
    length = _length(neuron)
    zeros = torch.zeros(neuron.groups, length, length, dtype=torch.float64, device=neuron.weight.device)
    return Comoments(zeros[:, 0].clone(), zeros)


def _vectors(neuron: Weighted, x: Tensor, z: Tensor) -> Iterator[Tensor]:
    """For every sample (groups, length, places): what each unit reads, and its y where z > 0 and where not."""
    for row in range(len(x)):
        one, on = x[row : row + 1], z[row : row + 1] > 0
        y = neuron.call(one, neuron.weight)
        parts = [neuron.read(one), neuron.by_unit(y * on), neuron.by_unit(y * ~on)]
        yield torch.cat(parts, 1).double()


def _columns(neuron: Weighted, pattern: Tensor) -> Tensor:
    """Patterns (groups, inputs, units)."""
    return pattern.reshape(neuron.groups, neuron.units // neuron.groups, -1).mT


def _mean(values: Tensor) -> float:
    known = values[~values.isnan()]
    return float(known.mean()) if len(known) else 1.0
