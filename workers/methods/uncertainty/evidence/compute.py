"""Opinions: what evidence for each class says of belief and uncertainty (S3 eq. 26-29)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from workers.engine.model.function import Function
from workers.explanation.errors import MethodNotApplicable, methods


class Opinion(NamedTuple):
    """Of each row: belief, the Dirichlet's mean and standard deviation (n, classes); uncertainty and strength (n,)."""

    belief: Tensor
    probability: Tensor
    std: Tensor
    uncertainty: Tensor
    strength: Tensor


def opinion(outputs: Tensor) -> Opinion:
    """The opinions that evidence (n, classes) makes."""
    evidence = outputs.clamp(min=0)
    alpha = evidence + 1
    strength = alpha.sum(1)
    chance = alpha / strength[:, None]
    std = (chance * (1 - chance) / (strength[:, None] + 1)).sqrt()
    return Opinion(evidence / strength[:, None], chance, std, outputs.shape[1] / strength, strength)


def check(model: Function) -> None:
    """Raise MethodNotApplicable where the output is no list of evidence."""
    if model.card.output != "evidence" or len(model.card.outputs) != 1:
        raise MethodNotApplicable(
            f"the output of {model.card.name} is {model.card.output}, and beliefs are made of evidence: of a net that "
            'was trained with an evidential head, say output = "evidence" in [model] of its card.toml',
            pointer="/method",
            instead=methods("predict"),
        )
