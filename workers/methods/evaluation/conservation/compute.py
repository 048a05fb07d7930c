"""Whether attributions add up to the score (S4 13.3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.baselines import baseline
from workers.explanation.perturbation import Baseline
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions
from workers.methods.nested.map_sums import as_told


def conserved(model: Function, batch: Batch, of: Sequence[Method], kind: Baseline | None) -> dict[str, Tensor]:
    """Of each row and method the sum, the sum of magnitudes, what is expected, and by how much that is missed."""
    found = [values.flatten(1).double() for values in attributions(model, batch, of)]
    sums = torch.stack([values.sum(1) for values in found], 1)
    told = [as_told(values, model.card.input) for values in found]
    absolute = torch.stack([values.abs().sum(1) for values in told], 1)
    expected = _expected(model, batch, kind).double()[:, None].expand_as(sums)
    missed = (sums - expected).abs()
    gaps = torch.where(expected != 0, missed / expected.abs().clamp(min=1e-300), missed)
    return {"scores": gaps, "sums": sums, "expected": expected, "absolute": absolute}


def _expected(model: Function, batch: Batch, kind: Baseline | None) -> Tensor:
    rows = torch.arange(len(batch))
    if kind is None:
        return altered_scores(model, batch, Copies(rows, lambda at: batch.x[at]))
    both = torch.cat([batch.x, baseline(model, batch, kind)])
    scores = altered_scores(model, batch, Copies(rows.repeat(2), lambda at: both[at]))
    return scores[: len(batch)] - scores[len(batch) :]
