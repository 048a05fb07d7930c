"""A pass through a whole graph at once: a tape has each node on its own, which costs few rows a tenth and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from workers.engine.graph.graph import Graph
from workers.engine.graph.rows import by_row
from workers.engine.graph.tape import Tape
from workers.engine.model import target_masks
from workers.engine.model.batch import Batch, Outputs
from workers.engine.model.recorded_pass import Recorder
from workers.explanation.target import Target


def gradient(
    graph: Graph, x: Tensor, wanted: Callable[[Tensor], Sequence[Target]], recorder: Recorder
) -> tuple[Tensor, Tensor | None]:
    """The scores (n,) and their gradients at x; None where none of them is made of it.

    `wanted` gives resolved targets that are read from the outputs (n, ...), of those that it is given.
    """
    with recorder.through(graph, x) as passed:
        mask = target_masks.output_mask(wanted(passed.outputs), passed.outputs)
        return by_row(passed.outputs * mask), passed.back(mask)


def gradient_of(scores: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The same of any scores (n,), by autograd."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        found = scores(x)
    return found.detach(), torch.autograd.grad(found.sum(), x)[0] if found.requires_grad else None


def gradient_once(
    graph: Graph, batch: Batch, resolve: Callable[[Batch], Sequence[Target]], recorder: Recorder
) -> tuple[Tensor, Tensor] | None:
    """The scores (n,) and their gradients at the inputs of a batch that is explained `once`, or None.

    A tape is made where another method uses it, where there is one, for targets within the net, and of outputs that
    are the same whatever the input.
    """
    if not batch.once or target_masks.is_inside(batch.targets) or batch.cache.find(Tape) is not None:
        return None

    def wanted(outputs: Tensor) -> Sequence[Target]:
        batch.cache.store(Outputs(outputs))
        return resolve(batch)

    scores, slopes = gradient(graph, batch.x, wanted, recorder)
    return None if slopes is None else (scores, slopes)
