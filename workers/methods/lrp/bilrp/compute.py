"""BiLRP at work: each number of the embeddings walked back by itself, and the walks multiplied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.perturbation.chunks import even
from workers.engine.rules.entry import Table
from workers.explanation.target import Target
from workers.methods.lrp.bilrp.branches import Branches
from workers.methods.lrp.bilrp.meeting import branches
from workers.methods.lrp.bilrp.pieces import Pieces


class Paired(NamedTuple):
    """Maps (n, *shape), pairs (n, pieces, pieces), and of each row the part of its score that is a product."""

    maps: Tensor
    pairs: Tensor
    products: list[float]


def paired(model: Model, batch: Batch, table: Table, cuts: tuple[Pieces, Pieces]) -> Paired:
    """Each row by itself: its numbers share the passes."""
    wanted = model.resolve(batch)
    model.check_start(wanted)
    found = {target: branches(model, target) for target in dict.fromkeys(wanted)}
    rows = []
    for row, target in enumerate(wanted):
        walks = _Walks(model, table, cuts, found[target], _copies(model, batch, row, target, found[target]))
        rows.append(walks.pairs(row * walks.most, len(batch) * walks.most))
    maps, pairs, products = zip(*rows, strict=True)
    return Paired(torch.stack(maps), torch.stack(pairs), list(products))


def _copies(model: Model, batch: Batch, row: int, target: Target, found: Branches) -> Batch:
    """A row as many times as it is walked back at once."""
    most = max(found.sizes)
    size = 1 if model.rows == 1 or most == 1 else even(most, model.chunk)
    x = batch.x[row : row + 1].expand(size, *batch.x.shape[1:]).contiguous()
    return Batch(x, [target] * size, report=batch.report, resources=batch.resources)


@dataclass(frozen=True)
class _Walks:
    model: Model
    table: Table
    cuts: tuple[Pieces, Pieces]
    found: Branches
    copies: Batch

    @property
    def most(self) -> int:
        return max(self.found.sizes)

    def pairs(self, done: int, total: int) -> tuple[Tensor, Tensor, float]:
        """The row's map, its pairs, and the part of its score that is a product; `done` of `total` walks are done."""
        values, size = self.model.tape(self.copies).values, len(self.copies)
        one, other = (self.found.numbers(side, values) for side in (0, 1))
        first, second = [], []
        for at in range(0, self.most, size):
            relevance = self._back(*(_apart(numbers, at) for numbers in (one, other)))
            first.append(self.cuts[0].sums(relevance))
            second.append(self.cuts[1].sums(relevance))
            self.copies.report(done + min(at + size, self.most), total, "numbers of the embedding")
        of_one, of_other = torch.cat(first)[: one.shape[1]], torch.cat(second)[: other.shape[1]]
        counts = [self._slopes(0, of_other.T.to(one)), self._slopes(1, of_one.sum(1)[None].to(one))]
        pairs = of_one.T @ counts[0].double().T
        halves = self._back(one * counts[0].sum(0) / 2, other * counts[1] / 2)
        product = (self._slopes(0, other[:1]) * one[:1]).double().sum()
        return halves[0], pairs, float(product)

    def _back(self, one: Tensor, other: Tensor) -> Tensor:
        """Relevance of all inputs end to end (copies, numbers), from that of what is made of each."""
        start = {**self.found.placed(0, one), **self.found.placed(1, other)}
        return self.model.relevance(self.copies, start, self.table)[0]

    def _slopes(self, side: int, given: Tensor) -> Tensor:
        """As `Branches.slope` of any number of rows."""
        values, size, found = self.model.tape(self.copies).values, len(self.copies), []
        for part in torch.split(given, size):
            filled = torch.cat([part, part.new_zeros(size - len(part), part.shape[1])])
            found.append(self.found.slope(values, side, filled)[: len(part)])
        return torch.cat(found)


def _apart(numbers: Tensor, first: int) -> Tensor:
    """Each number from `first` on in a row of its own, all else zero: (rows, numbers)."""
    rows = torch.arange(first, min(first + len(numbers), numbers.shape[1]), device=numbers.device)
    found = torch.zeros_like(numbers)
    found[rows - first, rows] = numbers[rows - first, rows]
    return found
