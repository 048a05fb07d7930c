"""The scores of altered copies of a batch's inputs, any number of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.outputs import chances
from workers.engine.perturbation.chunks import even
from workers.explanation.target import ClassTarget, Target

Copies: TypeAlias = Callable[[Tensor], Tensor]  # some numbers of copies -> those copies (k, *shape)


def ask(model: Function, batch: Batch, rows: Tensor, copies: Copies, probability: bool = False) -> Tensor:
    """The score of the target of row rows[i] for the i-th copy, (len(rows),), in chunks; reports after each."""
    wanted = model.resolve(batch)
    parts = [batch.x.new_zeros(0)]
    with torch.no_grad():
        for at in torch.split(torch.arange(len(rows)), even(len(rows), model.chunk)):
            parts.append(_scores(model, copies(at), [wanted[row] for row in rows[at].tolist()], probability))
            batch.report(int(at[-1]) + 1, len(rows), "passes")
    return torch.cat(parts)


def _scores(model: Function, x: Tensor, wanted: Sequence[Target], probability: bool) -> Tensor:
    indices = [target.index for target in wanted if isinstance(target, ClassTarget)]
    if len(model.card.outputs) != 1 or len(indices) < len(wanted):
        return model.scores(x, wanted, probability)
    outputs = model.run(x)
    chosen = torch.tensor(indices, device=outputs.device)[:, None]
    return (chances(model.card, outputs) if probability else outputs).gather(1, chosen)[:, 0]
