"""How alike the maps of different classes are (S4 8.5.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.model import target_masks
from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.explanation.errors import Instead, InvalidTarget, MethodNotApplicable, methods
from workers.explanation.target import ClassTarget, RankTarget, Target
from workers.methods.method import Method
from workers.methods.nested.attributions import attributions
from workers.methods.nested.own_places import likeness, ranked


def check(model: Function) -> None:
    """Raise MethodNotApplicable for a model without several classes, InvalidTarget for a target that is no class."""
    if model.card.output == "value" or model.card.heads < 2:
        raise MethodNotApplicable(
            f"selectivity compares the maps of several classes, and the output of {model.card.name} is "
            f"{model.card.output} of the shape {list(model.card.outputs)}",
            pointer="/method",
            instead=methods("compare"),
        )
    if any(not isinstance(target, ClassTarget | RankTarget) for target in model.targets):
        raise InvalidTarget(
            "selectivity is to a class, and this target is none", pointer="/target", instead=[Instead(target="argmax")]
        )


def correlations(model: Function, batch: Batch, of: Sequence[Method], others: int, magnitudes: bool) -> Tensor:
    """Of each row and method the rank correlation of its map with those of the strongest other classes, (n, m, k)."""
    wanted = model.resolve(batch)
    own = _order(model, batch, wanted, of, magnitudes)
    found = []
    for rivals in _rivals(model, batch, wanted, min(others, model.card.heads - 1)):
        found.append(likeness(own, _order(model, batch, rivals, of, magnitudes)))
    return torch.stack(found, 2)


def _order(
    model: Function, batch: Batch, wanted: Sequence[Target], of: Sequence[Method], magnitudes: bool
) -> list[Tensor]:
    """For each row the ranks within each map, (methods, places)."""
    asked = batch.sharing(wanted, batch.seeds, batch.report)
    return ranked(model, asked, attributions(model, asked, of), magnitudes, channels=True)


def _rivals(model: Function, batch: Batch, wanted: Sequence[Target], count: int) -> list[list[Target]]:
    """For each of `count` turns the strongest class of each row that is neither its target nor had its turn."""
    order = target_masks.totals(model.outputs(batch)).argsort(dim=1, descending=True, stable=True).tolist()
    own = [target.index if isinstance(target, ClassTarget) else -1 for target in wanted]
    rest = [[c for c in row if c != mine] for row, mine in zip(order, own, strict=True)]
    return [[ClassTarget(index=row[turn]) for row in rest] for turn in range(count)]
