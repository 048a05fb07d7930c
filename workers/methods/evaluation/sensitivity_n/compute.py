"""Sensitivity-n: whether what a method says of some features is what the score loses without them (S4 9.2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.baselines import baseline
from workers.explanation.errors import InvalidParameter
from workers.explanation.inputs import has_ids
from workers.explanation.perturbation import Baseline
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions
from workers.methods.nested.own_places import at_numbers, at_places, own_places
from workers.methods.nested.ranks import ROUNDING, correlation, rounding

LARGEST = 0.8  # of the features: larger subsets hardly differ from each other
SIZES = 8


class Sensitivity(NamedTuple):
    """Of each row and method: the correlation and the mean gap by subset size (n, methods, sizes), and those of all.

    `sizes` (n, sizes) are each row's.
    """

    sizes: Tensor
    correlations: Tensor
    gaps: Tensor
    whole: Tensor
    lost: Tensor


def subset_sizes(count: int, asked: Sequence[int] | None, of_text: bool) -> list[int]:
    """The sizes asked for, or some from 1 to most of the features, evenly on a logarithmic scale.

    Of a short text some stand there more than once: there are as many for each text.
    """
    if asked is None:
        ends = torch.logspace(0, torch.log10(torch.tensor(max(1.0, LARGEST * count))).item(), SIZES)
        sizes = [int(size) for size in ends.round()]
        return sizes if of_text else sorted(set(sizes))
    beyond = next((size for size in asked if size >= count), None)
    if beyond is not None:
        raise InvalidParameter(
            f"subsets of {beyond} features cannot be drawn from {count}; sizes are below that, and the whole input is "
            "measured in any case",
            pointer="/method/sizes",
        )
    return sorted(asked)


def sensitivity(
    model: Function,
    batch: Batch,
    of: Sequence[Method],
    asked: Sequence[int] | None,
    subsets: int,
    kind: Baseline,
    probability: bool,
) -> Sensitivity:
    """Sums of attributions against losses of score over the same random subsets of each size, for all methods."""
    spec = model.card.input
    maps = torch.stack([at_places(one, spec, channels=True) for one in attributions(model, batch, of)], 1)
    own, of_texts = own_places(model, batch, maps.shape[2], channels=True).cpu(), has_ids(spec)
    sizes = [subset_sizes(int(row.sum()), asked, of_texts) for row in own]
    drawn = zip(own, sizes, batch.generators(), strict=True)
    absent = torch.stack([_draw(row, each, subsets, source) for row, each, source in drawn])
    sums = torch.einsum("nmf,nsf->nms", maps.double(), absent.to(maps.device).double())
    sums = sums.masked_fill(sums.abs() <= rounding(maps.double()), 0)
    losses = _losses(model, batch, absent, kind, probability).double()[:, None]
    by_size = (len(batch), len(of), len(sizes[0]), subsets)
    said, lost = (values[..., 2:].reshape(by_size) for values in (sums, losses.expand_as(sums)))
    gaps = (said - lost).abs().mean(3) / lost.abs().mean(3).clamp(min=1e-12)
    whole, total = sums[..., 1], losses[..., 1].expand_as(sums[..., 1])
    return Sensitivity(torch.tensor(sizes).float(), correlation(said, lost), gaps, whole, total)


def _draw(own: Tensor, sizes: Sequence[int], subsets: int, source: torch.Generator) -> Tensor:
    """Which of a row's own features each subset holds, bool: first none, then all, then the random ones by size."""
    absent, features = torch.zeros(2 + len(sizes) * subsets, len(own), dtype=torch.bool), own.nonzero()[:, 0]
    absent[1, features] = True
    for at in range(len(sizes) * subsets):
        absent[2 + at, features[torch.randperm(len(features), generator=source)[: sizes[at // subsets]]]] = True
    return absent


def _losses(model: Function, batch: Batch, absent: Tensor, kind: Baseline, probability: bool) -> Tensor:
    """What the score loses without each subset: (n, subsets); 0 where that is no more than its rounding."""
    spec, blank = model.card.input, baseline(model, batch, kind)
    rows = torch.arange(len(batch)).repeat_interleave(absent.shape[1])
    masks = absent.flatten(0, 1)

    def without(at: Tensor) -> Tensor:
        gone = at_numbers(masks[at].to(batch.x.device), spec, channels=True)
        return torch.where(gone, blank[rows[at]], batch.x[rows[at]])

    scores = altered_scores(model, batch, Copies(rows, without), probability).view(len(batch), -1)
    lost = scores[:, :1] - scores
    return lost.masked_fill(lost.abs() <= ROUNDING * scores[:, :1].abs(), 0)
