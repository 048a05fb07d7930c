"""The quality of signal estimators, rho = 1 - max_v corr(y, v . (x - S(x))) (S2 equation 1), in closed form.

The residual d = x - a+ y+ - a- y- is linear in x and in y split by its sign, less its mean where the patterns are
centred. So its covariance is that of x, which all units of a layer share, changed by four vectors; one factorisation
per layer serves every unit, where the seed ran a least-squares descent for each. v is found on one set of data and may
be read on another: read on its own N inputs, it finds a correlation of sqrt(d / (N - 1)) even in a residual of d
dimensions that is independent of y.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.engine.data.streaming import stream
from workers.engine.layers.linear_units import Weighted, neurons
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.propagation.patterns import mean_of, of_neuron
from workers.engine.propagation.signal_estimators import normalised

MOST = 6144  # inputs and twice the units of a layer: its moments fill the square of that
RIDGE = 1e-6  # of the inputs' mean variance: directions in which they hardly vary tell nothing
TINY = 1e-300


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
    model: Model, batch: Batch, state: Mapping[str, Any], dataset: str, read_on: str | None, generator: torch.Generator
) -> tuple[list[Quality], list[str]]:
    """The quality of the patterns of every layer with weights, and the layers that are too wide to be measured.

    v is optimised on `dataset` and rho read on `read_on`, by default the same.
    """
    weighted = [n for n in neurons(model) if isinstance(n, Weighted)]
    measured = [n for n in weighted if not n.transposed and _length(n) <= MOST]
    optimised = _moments(model, batch, measured, state, dataset)
    read = optimised if read_on is None else _moments(model, batch, measured, state, read_on)
    found = []
    for n, optimal, own in zip(measured, optimised, read, strict=True):
        drawn = torch.randn(n.weight.shape, generator=generator, dtype=torch.float64).to(model.device)
        random = normalised(n, drawn)
        fitted = of_neuron(n, state)
        if fitted is None:
            ours = torch.ones(1)
        else:  # kept in single precision, w . a misses 1, and v would find y in that: w . d = (1 - w . a) y
            ours = rho(n, optimal, own, normalised(n, fitted[0].double()), normalised(n, fitted[1].double()))
        found.append(Quality(n.node.layer, n.units, _mean(ours), _mean(rho(n, optimal, own, random, random))))
    return found, [n.node.layer for n in weighted if n not in measured]


def _moments(
    model: Model, batch: Batch, measured: Sequence[Weighted], state: Mapping[str, Any], dataset: str
) -> list[Comoments]:
    """Of each neuron, over a dataset."""
    moments = [_empty(n) for n in measured]
    means = [mean_of(n, state) for n in measured]
    keep = {index for n in measured for index in (n.node.index, *n.node.inputs)}
    with torch.no_grad():
        for x in stream(model, batch, dataset):
            _, values = model.folded.run(x, keep)
            for n, mean, moment in zip(measured, means, moments, strict=True):
                for vectors in _vectors(n, mean, values[n.node.inputs[0]], values[n.node.index]):
                    moment.add(vectors)
    return moments


@dataclass(frozen=True)
class _Residual:
    """The covariances of a layer's residuals, as sums of terms; (groups, inputs or units, ...)."""

    inputs: Tensor  # of the inputs with each other
    to_up: Tensor  # of the inputs with y+ of each unit
    to_down: Tensor
    up: Tensor  # the patterns
    down: Tensor
    signs: Tensor  # of y+ and y- with each other (groups, units, 2, 2)

    @classmethod
    def of(cls, moments: Comoments, up: Tensor, down: Tensor) -> _Residual:
        _, inputs, units = up.shape
        spread = moments.products / max(moments.count, 1)
        among, to_up, to_down = spread[:, :inputs].split_with_sizes([inputs, units, units], 2)
        signs = spread[:, inputs:, inputs:].view(len(up), 2, units, 2, units).diagonal(dim1=2, dim2=4)
        return cls(among[:, :, :inputs], to_up, to_down, up, down, signs.permute(0, 3, 1, 2))

    @property
    def with_output(self) -> Tensor:
        """cov[d, y] (groups, inputs, units)."""
        up, down = (self.signs[:, :, i].sum(2)[:, None] for i in (0, 1))
        return self.to_up + self.to_down - self.up * up - self.down * down

    def correlation(self, v: Tensor) -> Tensor:
        """corr(y, v . d) of every unit (groups, units); 0 where v finds nothing, NaN where y never changes."""
        removed = torch.stack([(v * self.up).sum(1), (v * self.down).sum(1)], 2)  # of v . d for y+ and y-
        shared = torch.stack([(v * self.to_up).sum(1), (v * self.to_down).sum(1)], 2)
        own = (v * (self.inputs @ v)).sum(1) - 2 * (removed * shared).sum(2)
        own = own + torch.einsum("gua,guab,gub->gu", removed, self.signs, removed)
        output = self.signs.sum((2, 3))
        along = (v * self.with_output).sum(1)
        return torch.where(output > 0, along / (own * output).clamp(min=TINY).sqrt(), torch.nan).clamp(-1, 1)


def rho(neuron: Weighted, optimised: Comoments, read: Comoments, positive: Tensor, negative: Tensor) -> Tensor:
    """The quality of the patterns of each unit (units,); NaN of a unit whose output never changes.

    Below 1 by what is found by chance where `read` is what v was `optimised` on; about it, to either side, where not.
    """
    up, down = (_columns(neuron, pattern.double()) for pattern in (positive, negative))
    v = _readout(_Residual.of(optimised, up, down))
    return (1 - _Residual.of(read, up, down).correlation(v)).flatten()


def _readout(residual: _Residual) -> Tensor:
    """v = cov[d, d]^-1 cov[d, y] for every unit (groups, inputs, units), by the matrix inversion lemma.

    cov[d, d] is the covariance of the inputs plus U B U^T for four columns U, the covariances of x with y+ and y- and
    the patterns; the inverse of B is made of V, the covariance of y+ and y-.
    """
    among, signs = residual.inputs, residual.signs
    ridge = RIDGE * among.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-30)
    factor = torch.linalg.cholesky(among + torch.diag_embed(ridge[:, None].expand(among.shape[:2])))
    changes = torch.stack([residual.to_up, residual.to_down, residual.up, residual.down], 3)
    columns = torch.cat([changes, residual.with_output[..., None]], 3)  # (groups, inputs, units, 5)
    solved = torch.cholesky_solve(columns.flatten(2), factor).view_as(columns)
    gram = torch.einsum("gdua,gdub->guab", changes, solved)
    one = torch.eye(2).to(gram).expand_as(signs)
    inverse = torch.cat([torch.cat([-signs, -one], 3), torch.cat([-one, torch.zeros_like(one)], 3)], 2)
    share = torch.linalg.solve(inverse + gram[..., :4], gram[..., 4:])
    return solved[..., 4] - torch.einsum("gdua,gua->gdu", solved[..., :4], share[..., 0])


def _length(neuron: Weighted) -> int:
    """The inputs of a unit and twice the units of a group."""
    return neuron.weight[0].numel() + 2 * (neuron.units // neuron.groups)


def _empty(neuron: Weighted) -> Comoments:
    length = _length(neuron)
    zeros = torch.zeros(neuron.groups, length, length, dtype=torch.float64, device=neuron.weight.device)
    return Comoments(zeros[:, 0].clone(), zeros)


def _vectors(neuron: Weighted, mean: Tensor | None, x: Tensor, z: Tensor) -> Iterator[Tensor]:
    """By samples (groups, length, places): what each unit reads, and its y, less the mean, by the sign of z."""
    at_once = len(x) if neuron.node.op == "linear" else 1  # of dense layers samples are places like others
    for one, output in zip(torch.split(x, at_once), torch.split(z, at_once), strict=True):
        y, on = neuron.call(one, neuron.weight), output > 0
        if mean is not None:
            y = y - mean.view(-1, *[1] * (y.dim() - 1 - neuron.axis % y.dim()))
        parts = [neuron.read(one), neuron.by_unit(y * on), neuron.by_unit(y * ~on)]
        yield torch.cat(parts, 1).double()


def _columns(neuron: Weighted, pattern: Tensor) -> Tensor:
    """Patterns (groups, inputs, units)."""
    return pattern.reshape(neuron.groups, neuron.units // neuron.groups, -1).mT


def _mean(values: Tensor) -> float:
    """Over the units whose output changes."""
    known = values[~values.isnan()]
    return float(known.mean()) if len(known) else 1.0
