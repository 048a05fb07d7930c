"""Maps over halves of the data, or over models: their mean, their spread, and how far they agree (S4 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.explanation.errors import InvalidParameter
from workers.methods.method import Method
from workers.methods.nested.attributions import attributed
from workers.methods.nested.ranks import correlation_matrix
from workers.methods.uncertainty.resampling.halves import Halved

LEAST = 1e-6


class Resampled(NamedTuple):
    """Mean and standard deviation (n, *map), and by row the mean correlation between maps."""

    mean: Tensor
    std: Tensor
    agreement: list[float]

    def effect(self) -> Tensor:
        """The mean over the standard deviation, which counts as a millionth of the map's largest value at least."""
        largest = self.mean.abs().flatten(1).amax(1).view(-1, *[1] * (self.mean.dim() - 1))
        return self.mean / torch.maximum(self.std, LEAST * largest).clamp(min=torch.finfo(self.mean.dtype).tiny)


def over_halves(model: Function, batch: Batch, of: Method, splits: int) -> Resampled:
    """The method, having learned from each half of its data: the variance is that of one half's map.

    The halves of a split share no item, so half their squared difference is an unbiased estimate of it (NPAIRS).
    Raises InvalidParameter for a method that looks at no dataset.
    """
    seeds = batch.seeds or [0] * len(batch)
    sources = {seed: torch.Generator().manual_seed(seed) for seed in dict.fromkeys(seeds)}
    total: Tensor | float = 0.0
    square: Tensor | float = 0.0
    agreement = [0.0] * len(batch)
    for done in range(splits):
        drawn = {seed: int(torch.randint(2**62, (), generator=source)) for seed, source in sources.items()}
        halves = [_learned(model, batch, of, [drawn[seed] for seed in seeds], second) for second in (False, True)]
        pair = torch.stack(halves).double()
        total = total + pair.mean(0)
        square = square + (pair[0] - pair[1]).square() / 2
        for row in range(len(batch)):
            agreement[row] += float(correlation_matrix(pair[:, row])[0, 1]) / splits
        batch.report(done + 1, splits, "splits")
    assert isinstance(total, Tensor)
    assert isinstance(square, Tensor)
    return Resampled(total / splits, (square / splits).sqrt(), agreement)


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

    Raises InvalidParameter for a model of another input or output.
    """
    wanted, maps = model.resolve(batch), []
    for done, (at, name) in enumerate([(None, None), *enumerate(names)]):
        other = model if name is None else batch.resources.model(name)
        _check(model, other, of, at)
        inner = Batch(batch.x, wanted, [getattr(of, "seed", 0)] * len(batch), resources=batch.resources)
        maps.append(attributed(other, inner, of).double())
        batch.report(done + 1, len(names) + 1, "models")
    stacked = torch.stack(maps)
    pairs = torch.triu_indices(len(maps), len(maps), 1).numpy()
    agreement = [float(correlation_matrix(stacked[:, row])[pairs[0], pairs[1]].mean()) for row in range(len(batch))]
    return Resampled(stacked.mean(0), stacked.std(0), agreement)


def _check(model: Function, other: Any, of: Method, at: int | None) -> None:
    same = (other.card.input.shape, other.card.outputs) == (model.card.input.shape, model.card.outputs)
    if not same:
        raise InvalidParameter(
            f"{other.card.name} takes {list(other.card.input.shape)} and returns {list(other.card.outputs)}; models to "
            f"compare with {model.card.name} take {list(model.card.input.shape)} and return {list(model.card.outputs)}",
            pointer=f"/method/models/{at}",
        )
    if at is not None:
        of.refuse(other)
