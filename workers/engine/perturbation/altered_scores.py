"""The scores of altered copies of a batch's inputs, any number of each; outputs are cached where one asks for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.outputs import chances, check_probability
from workers.engine.model.target_masks import pick
from workers.engine.perturbation.chunks import even
from workers.explanation.target import ClassTarget, Target, UnitTarget

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
    listed = len(model.card.outputs) <= 1 and not any(isinstance(t, UnitTarget) for t in wanted)
    with torch.no_grad():
        if question is None or not listed or len(copies.rows) * model.card.heads > CACHED:

            def scored(at: Tensor) -> Tensor:
                return _scores(model, copies.make(at), [wanted[row] for row in copies.rows[at].tolist()], probability)

            return _in_chunks(model, batch, torch.arange(len(copies.rows)), copies.unit, scored)
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


def _in_chunks(model: Function, batch: Batch, chosen: Tensor, unit: str, run: Callable[[Tensor], Tensor]) -> Tensor:
    """What `run` gives for the chosen copies, some at a time."""
    parts: list[Tensor] = []
    done = 0
    for at in torch.split(chosen, even(len(chosen), model.chunk)):
        parts.append(run(at))
        done += len(at)
        batch.report(done, len(chosen), unit)
    return torch.cat(parts)


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

        def returned(at: Tensor) -> Tensor:
            return model.run(copies.make(at)).reshape(len(at), -1)

        values = _in_chunks(model, batch, distinct.nonzero()[:, 0], copies.unit, returned)
        shape = len(set(same)), len(copies.rows) // len(batch), -1
        found = batch.cache.store(_Outputs(key, values.view(shape)))
    return found.values


def _numbered(same: Sequence[int]) -> list[int]:
    """Each row's place among the distinct ones."""
    order = {first: at for at, first in enumerate(sorted(set(same)))}
    return [order[first] for first in same]
