"""Contextual decomposition at work: each phrase of each row, and what the scores come to."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.perturbation.chunks import sweep
from workers.explanation.errors import ANY_FUNCTION, InvalidParameter, MethodNotApplicable
from workers.methods.lrp.contextual_decomposition.walk import Walk, kind_of
from workers.methods.nested.steps import steps_of


class Decomposed(NamedTuple):
    """Maps (n, *shape), the parts (n, phrases) and the scores (n,)."""

    maps: Tensor
    beta: Tensor
    gamma: Tensor
    scores: Tensor


def check(model: Model) -> None:
    """Raise MethodNotApplicable where a node on the way has no rule."""
    graph = model.folded
    flowing, leading = graph.reaching(0), graph.leading(model.ends)
    for node in graph.nodes[1:]:
        if flowing[node.index] and leading[node.index] and kind_of(node, graph) is None:
            raise MethodNotApplicable(
                f"{node.layer} ({node.op}) is neither affine nor an activation nor a product of two values: what "
                "of it is a phrase's is not known",
                pointer="/method",
                instead=ANY_FUNCTION,
            )


def decomposed(
    model: Model, batch: Batch, phrase: tuple[int, int] | None, axis: int | None, output_gate: bool
) -> Decomposed:
    """Of each row, each step or the phrase asked for; raises InvalidParameter for one beyond the input's steps."""
    steps, wanted = steps_of(model.card, axis), model.resolve(batch)
    inside = _phrases(phrase, steps.count)
    beta = batch.x.new_zeros(len(batch), len(inside))
    gamma = beta.clone()
    for rows, at in sweep(model, batch, len(inside), "phrases"):
        targets = [wanted[row] for row in rows.tolist()]
        walk = Walk(model.folded, steps, inside[at].to(batch.x.device), output_gate)
        own, rest = walk.scores(batch.x[rows], targets)
        beta[rows, at], gamma[rows, at] = own, rest
    scores = beta[:, 0] + gamma[:, 0]
    with torch.no_grad():
        start = model.scores(batch.x, wanted)
    share = steps.spread(beta @ (inside / inside.sum(1, keepdim=True)).to(beta), batch.x)
    return Decomposed(share, beta, gamma, start.to(scores))


def _phrases(phrase: tuple[int, int] | None, count: int) -> Tensor:
    """Which steps are in each phrase (phrases, steps)."""
    if phrase is None:
        return torch.eye(count, dtype=torch.bool)
    first, stop = phrase
    if not 0 <= first < stop <= count:
        raise InvalidParameter(
            f"the input has the steps 0 to {count - 1}; a phrase is [first, the first behind it]",
            pointer="/method/phrase",
        )
    found = torch.zeros(1, count, dtype=torch.bool)
    found[0, first:stop] = True
    return found
