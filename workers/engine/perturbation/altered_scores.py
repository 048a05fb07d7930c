"""The scores of altered copies of a batch's inputs, any number of each; outputs are cached where one asks for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.outputs import chances, check_probability
from workers.engine.model.target_masks import is_inside, pick
from workers.engine.perturbation.chunks import even
from workers.engine.perturbation.contents import contents
from workers.explanation.target import ClassTarget, Target

Run: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # of copies and the numbers of their rows
CACHED = 2**24  # numbers: outputs beyond this many are not cached for other targets


class Copies(NamedTuple):
    """Altered copies of a batch's rows: the i-th is of row `rows[i]`; `make` makes those of some numbers i."""

    rows: Tensor
    make: Callable[[Tensor], Tensor]
    unit: str = "passes"

    @classmethod
    def of_each(cls, rows: int, points: int, alter: Callable[[Tensor, Tensor], Tensor]) -> Copies:
        """Of every row as many, one row's after the other's; `alter` makes those of some (rows, points)."""
        return cls(
            torch.arange(rows).repeat_interleave(points), lambda at: alter(at // points, at % points), unit="masks"
        )


class _Outputs(NamedTuple):
    """What the model returned for the copies that a question named: (distinct rows, points, classes)."""

    question: Hashable
    values: Tensor


def altered_scores(
    model: Function, batch: Batch, copies: Copies, probability: bool = False, question: Hashable = None
) -> Tensor:
    """The score of each copy for the target of its row (len(copies.rows),), in chunks; reports after each.

    A `question` names the copies `of_each` row, given inputs and seeds: outputs that are one list of classes are then
    cached with the batch, so that another target of the same inputs costs no pass. Raises InvalidTarget or
    MethodNotApplicable for a probability that there is none of.
    """
    wanted = model.resolve(batch)
    if probability:
        check_probability(model.card, wanted)
    listed = len(model.card.outputs) <= 1 and not is_inside(wanted)
    with torch.no_grad():
        if question is None or not listed or len(copies.rows) * model.card.heads > CACHED:

            def scored(x: Tensor, rows: Tensor) -> Tensor:
                return _scores(model, x, [wanted[row] for row in rows.tolist()], probability)

            return _in_chunks(model, batch, copies, torch.arange(len(copies.rows)), scored)
        outputs = _cached(model, batch, copies, question)
    if probability:
        outputs = chances(model.card, outputs, axis=2)
    rows = zip(_numbered(twins(batch)), wanted, strict=True)
    return torch.cat([pick(outputs[at], target) for at, target in rows])


def twins(batch: Batch) -> list[int]:
    """For each row, the first row with the same input and seed: what is drawn and run for that one serves both."""
    seeds = batch.seeds or [0] * len(batch)

    def alike(one: int, other: int) -> bool:
        return seeds[one] == seeds[other] and torch.equal(batch.x[one], batch.x[other])

    return [next(i for i in range(row + 1) if i == row or alike(i, row)) for row in range(len(batch))]


def _in_chunks(model: Function, batch: Batch, copies: Copies, chosen: Tensor, run: Run) -> Tensor:
    """What `run` gives for the chosen copies, some at a time; equal ones of a row are asked once.

    The same input in two passes differs by rounding, and whoever ranks differences would take that for an order.
    """
    parts: list[Tensor] = []
    places: list[int] = []
    known: dict[Hashable, int] = {}
    for at in torch.split(chosen, even(len(chosen), model.chunk)):
        x, rows, new = copies.make(at), copies.rows[at], []
        for i, key in enumerate(zip(rows.tolist(), contents(x), strict=True)):
            if key not in known:
                known[key] = len(known)
                new.append(i)
            places.append(known[key])
        if new:
            parts.append(run(x, rows) if len(new) == len(x) else run(x[new], rows[new]))
        batch.report(len(places), len(chosen), copies.unit)
    found = torch.cat(parts)
    return found if len(known) == len(places) else found[places]


def _scores(model: Function, x: Tensor, wanted: Sequence[Target], probability: bool) -> Tensor:
    indices = [target.index for target in wanted if isinstance(target, ClassTarget)]
    if len(model.card.outputs) != 1 or len(indices) < len(wanted):
        return model.scores(x, wanted, probability)
    outputs = model.run(x)
    chosen = torch.tensor(indices, device=outputs.device)[:, None]
    return (chances(model.card, outputs) if probability else outputs).gather(1, chosen)[:, 0]


def _cached(model: Function, batch: Batch, copies: Copies, question: Hashable) -> Tensor:
    """What the model returns for the copies of each distinct row: (distinct rows, points, classes)."""
    same = twins(batch)
    key = question, tuple(batch.seeds), tuple(same)
    found = batch.cache.find(_Outputs)
    if found is None or found.question != key:
        distinct = torch.tensor(same)[copies.rows] == copies.rows

        def returned(x: Tensor, _: Tensor) -> Tensor:
            return model.run(x).reshape(len(x), -1)

        values = _in_chunks(model, batch, copies, distinct.nonzero()[:, 0], returned)
        shape = len(set(same)), len(copies.rows) // len(batch), -1
        found = batch.cache.store(_Outputs(key, values.view(shape)))
    return found.values


def _numbered(same: Sequence[int]) -> list[int]:
    """Each row's place among the distinct ones."""
    order = {first: at for at, first in enumerate(sorted(set(same)))}
    return [order[first] for first in same]
