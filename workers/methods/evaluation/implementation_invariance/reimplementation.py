"""Two models that compute one function, explained side by side (S4 13.3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.model.resources import Resources
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.explanation.errors import InvalidParameter
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions
from workers.methods.nested.map_sums import as_told
from workers.methods.nested.other_models import taken
from workers.methods.nested.split_neurons import gap

SAME = 1e-2  # of the score: models that differ by more do not compute the same function


def differences(
    model: Function, other: Function, resources: Resources, batch: Batch, of: Sequence[Method]
) -> dict[str, Tensor]:
    """By how much the second model's attributions differ, in shares of the first's norm; and the two scores.

    `resources` are the second's. Raises InvalidParameter where the scores differ: then there is nothing to compare.
    """
    x = taken(batch.x, model, other)
    there = Batch(x, model.resolve(batch), batch.seeds, batch.report, resources=resources)
    rows = torch.arange(len(batch))
    first = altered_scores(model, batch, Copies(rows, lambda at: batch.x[at]))
    second = altered_scores(other, there, Copies(rows, lambda at: x[at]))
    off = (first - second).abs() / first.abs().clamp(min=1e-6)
    if bool((off > SAME).any()):
        worst = int(off.argmax())
        raise InvalidParameter(
            f"the two models do not compute the same function: the scores are {float(first[worst]):.6g} and "
            f"{float(second[worst]):.6g} for one input",
            pointer="/method/other",
        )
    pairs = zip(attributions(model, batch, of), attributions(other, there, of), strict=True)
    found = torch.stack(
        [gap(as_told(one, model.card.input), as_told(another, other.card.input)) for one, another in pairs], 1
    )
    return {"scores": found, "first": first[:, None].expand_as(found), "second": second[:, None].expand_as(found)}
