"""Taylor decompositions: of the whole function at a root point, and of each layer at one of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.linearity import adds_up
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.rules.by_operation import pooling
from workers.engine.rules.entry import Entry, Table
from workers.engine.rules.named.alpha_beta import AlphaBetaEntry
from workers.engine.rules.positive import Positive
from workers.engine.rules.rectifiers import check_rectified
from workers.engine.rules.rule import Rule
from workers.explanation.composite import Choices, Pooling
from workers.explanation.errors import ANY_FUNCTION, Instead, InvalidTarget
from workers.explanation.target import Target

CLOSE = 1e-6  # share of the score that counts as zero
_SUMS = ops.ADDITION | ops.AVERAGING | ops.BATCH_NORM


def deep_rules(model: Model, first: Entry | None, pooled: Pooling) -> dict[int, Rule]:
    """alpha1_beta0 with `first` at the layers that read the input, and positive parts alone where values are summed.

    `check_deep` says for which nodes.
    """
    rules, graph = model.rules(_table(first), Choices(pooling=pooled)), model.folded
    return {i: _positive(graph.nodes[i], rule, graph) for i, rule in rules.items()}


def _positive(node: Node, rule: Rule, graph: Graph) -> Rule:
    """The rule of a node, by what adds to it alone."""
    if isinstance(rule, pooling.Proportional):
        return pooling.Proportional(node, 0.0, positive=True)
    return Positive(0.0) if node.op in _SUMS or adds_up(node, graph) else rule


def check_deep(model: Model, first: Callable[[], Entry | None]) -> None:
    """Raise MethodNotApplicable, naming the node, for what is neither linear nor a rectifier; then look at `first`."""
    check_rectified(model.folded, "deep_taylor", model.ends)
    model.check_rules(_table(first()))


def _table(first: Entry | None) -> Table:
    inner = AlphaBetaEntry(alpha=1, epsilon=0)
    return (inner,) if first is None else (first, inner)


def nearest_root(model: Model, batch: Batch, wanted: Sequence[Target], steps: int, halvings: int) -> Tensor:
    """A point near each row where its score reaches zero; on the row's own side of zero.

    Each step goes straight along the gradient to where a linear function would be zero; the step that reaches zero is
    then halved until it ends there. Raises InvalidTarget for a row whose score does not get there.
    """
    flat = (-1, *[1] * (batch.x.dim() - 1))
    first, _ = model.gradient(batch.x, wanted)
    enough = CLOSE * first.abs()

    def reached(scores: Tensor) -> Tensor:
        return scores * first.sign() <= enough

    near, far, there = batch.x, batch.x, reached(first)
    for done in range(steps):
        scores, gradients = model.gradient(far, wanted)
        there = reached(scores)
        if bool(there.all()):
            break
        steepness = gradients.flatten(1).square().sum(1).clamp(min=torch.finfo(scores.dtype).tiny)
        keep = there.view(flat)
        near = torch.where(keep, near, far)
        far = torch.where(keep, far, far - (scores / steepness).view(flat) * gradients)
        batch.report(done + 1, steps + halvings, "steps")
    _all_there(there, first)
    for done in range(halvings):
        middle = (near + far) / 2
        with torch.no_grad():
            beyond = reached(model.scores(middle, wanted)).view(flat)
        near, far = torch.where(beyond, near, middle), torch.where(beyond, middle, far)
        batch.report(steps + done + 1, steps + halvings, "steps")
    return near


def remainder(model: Model, root: Tensor, wanted: Sequence[Target]) -> list[float]:
    """What is left of each row's score at its root point: the expansion's term of order zero."""
    with torch.no_grad():
        left: list[float] = model.scores(root, wanted).tolist()
    return left


def _all_there(there: Tensor, scores: Tensor) -> None:
    if not bool(there.all()):
        raise InvalidTarget(
            f"no zero of this target's score, {float(scores[~there][0]):.4g}, was found along its gradients",
            pointer="/target",
            instead=(Instead(parameters={"root": "origin"}), *ANY_FUNCTION),
        )
