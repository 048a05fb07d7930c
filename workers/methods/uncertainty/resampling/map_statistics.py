"""Maps over halves of the data, or over models: their mean, their spread, and how far they agree (S4 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter
from workers.methods.method import Method
from workers.methods.nested.attributions import attributed
from workers.methods.nested.map_sums import as_stored, as_told
from workers.methods.nested.other_models import counterpart, taken
from workers.methods.nested.own_places import own_places
from workers.methods.nested.ranks import correlation_matrix
from workers.methods.uncertainty.resampling.halves import Halved

LEAST = 1e-6


class Resampled(NamedTuple):
    """Mean (n, *map), standard deviation as it is told, and by row the mean correlation between maps."""

    mean: Tensor
    told_std: Tensor
    agreement: list[float]
    spec: InputSpec

    def std(self) -> Tensor:
        return as_stored(self.told_std, self.spec)

    def effect(self) -> Tensor:
        """The mean over the standard deviation, which counts as a millionth of the map's largest value at least."""
        mean = as_told(self.mean, self.spec)
        largest = mean.abs().flatten(1).amax(1).view(-1, *[1] * (mean.dim() - 1))
        least = torch.maximum(self.told_std, LEAST * largest).clamp(min=torch.finfo(mean.dtype).tiny)
        return as_stored(mean / least, self.spec)


def over_halves(model: Function, batch: Batch, of: Method, splits: int) -> Resampled:
    """The method, having learned from each half of its data: the variance is that of one half's map.

    The halves of a split share no item, so half their squared difference is an unbiased estimate of it (NPAIRS).
    Raises InvalidParameter for a method that looks at no dataset.
    """
    seeds = batch.seeds or [0] * len(batch)
    sources = {seed: torch.Generator().manual_seed(seed) for seed in dict.fromkeys(seeds)}
    total: Tensor | float = 0.0
    square: Tensor | float = 0.0
    agreement, spec = [0.0] * len(batch), model.card.input
    for done in range(splits):
        drawn = {seed: int(torch.randint(2**62, (), generator=source)) for seed, source in sources.items()}
        halves = [_learned(model, batch, of, [drawn[seed] for seed in seeds], second) for second in (False, True)]
        pair = torch.stack(halves).double()
        told = [as_told(each, spec) for each in pair]
        total = total + pair.mean(0)
        square = square + (told[0] - told[1]).square() / 2
        for row, likeness in enumerate(_likeness(model, batch, told)):
            agreement[row] += likeness / splits
        batch.report(done + 1, splits, "splits")
    assert isinstance(total, Tensor)
    assert isinstance(square, Tensor)
    return Resampled(total / splits, (square / splits).sqrt(), agreement, spec)


def _learned(model: Function, batch: Batch, of: Method, splits: Sequence[int], second: bool) -> Tensor:
    """The method's maps on one half, rows of one split together."""
    found: dict[int, Tensor] = {}
    for split in dict.fromkeys(splits):
        rows = [row for row, other in enumerate(splits) if other == split]
        halved = Halved(batch.resources, split, second)
        inner = Batch(
            batch.x[rows], [batch.targets[row] for row in rows], [getattr(of, "seed", 0)] * len(rows), resources=halved
        )
        found |= dict(zip(rows, of.explain(model, inner).arrays["attribution"], strict=True))
        if not halved.digests:
            raise InvalidParameter(
                f"{of.name} as it is configured looks at no dataset, so halves of one tell nothing of it; name "
                "several models, or a method that learns from data, such as pattern_attribution",
                pointer="/method/of",
            )
    return torch.stack([found[row] for row in range(len(batch))])


def over_models(model: Function, batch: Batch, of: Method, names: Sequence[str]) -> Resampled:
    """The method on this model and on others of the same input; targets are this model's own.

    Raises InvalidParameter for a model that takes other inputs, or returns another output.
    """
    wanted, told = model.resolve(batch), []
    for done, (at, name) in enumerate([(None, None), *enumerate(names)]):
        other, resources = model, batch.resources
        if name is not None:
            other, resources = counterpart(model, batch, name, f"/method/models/{at}")
            of.refuse(other)
        x, seeds = taken(batch.x, model, other), [getattr(of, "seed", 0)] * len(batch)
        inner = Batch(x, wanted, seeds, resources=resources)
        told.append(as_told(attributed(other, inner, of).double(), other.card.input))
        batch.report(done + 1, len(names) + 1, "models")
    stacked, spec = torch.stack(told), model.card.input
    return Resampled(as_stored(stacked.mean(0), spec), stacked.std(0), _likeness(model, batch, told), spec)


def _likeness(model: Function, batch: Batch, told: Sequence[Tensor]) -> list[float]:
    """By row the mean correlation between maps as they are told, each pair once; of a text of its own tokens."""
    stacked = torch.stack([each.flatten(1) for each in told], 1)
    pairs = torch.triu_indices(len(told), len(told), 1).numpy()
    own = own_places(model, batch, stacked.shape[2], channels=False)
    rows = zip(stacked, own.to(stacked.device), strict=True)
    return [float(correlation_matrix(row[:, there])[pairs[0], pairs[1]].mean()) for row, there in rows]
