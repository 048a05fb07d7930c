"""Word deletion: the score as word after word of a text goes, in the order that attributions give."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import outside
from workers.engine.perturbation import coalitions
from workers.engine.perturbation.baselines import fills
from workers.engine.perturbation.segments import Segments, segments
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions
from workers.methods.nested.ranks import places


class Deletion(Protocol):
    """The parameters of the method."""

    @property
    def of(self) -> tuple[Method, ...]: ...
    @property
    def order(self) -> Literal["morf", "lerf", "random"]: ...
    @property
    def segments(self) -> Literal["word", "token"]: ...
    @property
    def steps(self) -> int: ...
    @property
    def fill(self) -> Literal["zero", "pad", "mask"]: ...
    @property
    def score(self) -> str: ...
    def __hash__(self) -> int: ...


def curves(model: Function, batch: Batch, method: Deletion) -> Tensor:
    """The scores with the first 0, 1, .. `steps` words of each judged method's order gone: (n, methods, steps + 1)."""
    cut = segments(model, batch, method.segments, 2)
    ranks = _ranks(model, batch, method, cut)
    left = [torch.cat([own >= gone for gone in range(method.steps + 1)]) for own in ranks]  # by step, then by method
    fill = fills(model, batch, method.fill)
    scores = coalitions.play(model, batch, method, cut, left, fill, method.score == "probability")
    found = torch.tensor([row.tolist() for row in scores], dtype=batch.x.dtype)
    return found.view(len(batch), method.steps + 1, len(method.of)).movedim(1, 2)


def _ranks(model: Function, batch: Batch, method: Deletion, cut: Segments) -> list[Tensor]:
    """For each row the rank of each word by each method (methods, words): 0 goes first; ties in the text's order."""
    if method.order == "random":
        drawn = [torch.randperm(words, generator=g) for words, g in zip(cut.counts, batch.generators(), strict=True)]
        return [own.expand(len(method.of), -1) for own in drawn]
    sums = torch.stack([by_segment(maps, batch, model, cut) for maps in attributions(model, batch, method.of)], 1)
    first = [row[:, :words] for row, words in zip(sums, cut.counts, strict=True)]
    return [places(row, descending=method.order == "morf").cpu() for row in first]


def by_segment(maps: Tensor, batch: Batch, model: Function, cut: Segments) -> Tensor:
    """Attributions (n, numbers) summed over each row's segments, (n, most segments)."""
    kept = outside(batch.x, model.card.input, model.card.named)
    maps = maps if kept is None else maps.masked_fill(kept, 0)
    return maps.new_zeros(len(maps), max(cut.counts)).scatter_add_(1, cut.labels.to(maps.device), maps)
