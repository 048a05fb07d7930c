"""What a model says of many altered copies of each input, asked once for all targets."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.outputs import chances, check_probability
from workers.engine.model.target_masks import pick
from workers.engine.perturbation.chunks import sweep
from workers.explanation.target import Target, UnitTarget

Alter: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (rows, points) -> the altered inputs (k, *shape)
KEPT = 2**24  # numbers: outputs beyond this many are not kept for other targets


def twins(batch: Batch) -> list[int]:
    """For each row, the first row with the same input and seed: what is drawn and run for that one serves both."""
    seeds = batch.seeds or [0] * len(batch)

    def alike(one: int, other: int) -> bool:
        return seeds[one] == seeds[other] and torch.equal(batch.x[one], batch.x[other])

    return [next(i for i in range(row + 1) if i == row or alike(i, row)) for row in range(len(batch))]


def altered_scores(
    model: Function, batch: Batch, question: Hashable, points: int, alter: Alter, probability: bool = False
) -> Tensor:
    """The score of each row's target for each of its altered copies: (n, points).

    `question` names the copies, given inputs and seeds. Outputs that are one list of classes are kept with the batch,
    so that another target of the same inputs costs no pass.
    """
    wanted = model.resolve(batch)
    if probability:
        check_probability(model.card, wanted)
    listed = len(model.card.outputs) <= 1 and not any(isinstance(t, UnitTarget) for t in wanted)
    with torch.no_grad():
        if not listed or len(batch) * points * model.card.heads > KEPT:
            return _scores(model, batch, wanted, points, alter, probability)
        outputs = _outputs(model, batch, question, points, alter)
    if probability:
        outputs = chances(model.card, outputs, axis=2)
    return torch.stack([pick(outputs[at], target) for at, target in zip(_numbered(twins(batch)), wanted, strict=True)])


def _outputs(model: Function, batch: Batch, question: Hashable, points: int, alter: Alter) -> Tensor:
    """What the model returns for the copies of each distinct row: (distinct rows, points, classes)."""
    same = twins(batch)
    key = question, tuple(batch.seeds), tuple(same)
    held = batch.memo.get("altered")
    if held is None or held[0] != key:
        firsts = torch.tensor(sorted(set(same)))
        few = Batch(batch.x[firsts], [], report=batch.report)
        parts = [
            model.run(alter(firsts[rows], at)).reshape(len(rows), -1) for rows, at in sweep(model, few, points, "masks")
        ]
        held = batch.memo["altered"] = key, torch.cat(parts).view(len(few), points, -1)
    outputs: Tensor = held[1]
    return outputs


def _scores(
    model: Function, batch: Batch, wanted: Sequence[Target], points: int, alter: Alter, probability: bool
) -> Tensor:
    parts = [
        model.scores(alter(rows, at), [wanted[row] for row in rows], probability)
        for rows, at in sweep(model, batch, points, "masks")
    ]
    return torch.cat(parts).view(len(batch), points)


def _numbered(same: Sequence[int]) -> list[int]:
    """Each row's place among the distinct ones."""
    order = {first: at for at, first in enumerate(sorted(set(same)))}
    return [order[first] for first in same]
