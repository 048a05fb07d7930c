"""Random numbers for the rows of a batch, of which padding changes none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.inputs import outside
from workers.explanation.inputs import explained

Law = Callable[..., Tensor]  # `torch.rand` or `torch.randn`


def drawing(model: Function, batch: Batch, law: Law, sources: Sequence[torch.Generator]) -> Callable[[Tensor], Tensor]:
    """Draws for some rows (k,) numbers of the law, (k, *shape): each row's own next ones, from its source.

    Where there are texts, what is held and tokens that are none of the text's have 0, and no number is drawn for them.
    """
    shape, own = batch.x.shape[1:], _own(model, batch.x)

    def draw(rows: Tensor) -> Tensor:
        found = torch.zeros(len(rows), *shape)
        for place, row in enumerate(rows.tolist()):
            if own is None:
                law(shape, generator=sources[row], out=found[place])
            else:
                found[place, own[row]] = law(int(own[row].sum()), generator=sources[row])
        return found.to(batch.x)

    return draw


def drawn(model: Function, batch: Batch) -> Tensor:
    """Numbers from 0 to 1 for all rows (n, *shape), each from its own seed."""
    return drawing(model, batch, torch.rand, batch.generators())(torch.arange(len(batch)))


def _own(model: Function, x: Tensor) -> Tensor | None:
    """Which of inputs end to end (n, numbers) are explained and no padding of a text; None where there are no texts."""
    out = outside(x, model.card.input, model.card.named)
    if out is None:
        return None
    found = torch.zeros_like(out)
    for part in explained(model.card.input):
        found[:, part.start : part.stop] = ~out[:, part.start : part.stop]
    return found.cpu()
