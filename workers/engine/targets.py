"""Targets at work: which elements of which nodes' values a row's target sums over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import Graph
from workers.errors import InvalidTarget
from workers.target import ClassTarget, MaskTarget, RankTarget, Target, UnitTarget


def resolve(targets: Sequence[Target], outputs: Tensor) -> list[Target]:
    """Ranks become classes, by the outputs (n, classes, ...) of the rows themselves; the rest stays."""
    wanted = [t.rank for t in targets if isinstance(t, RankTarget)]
    if not wanted:
        return list(targets)
    if outputs.dim() < 2:
        raise InvalidTarget("the output has no classes to rank; the target is 'value'", pointer="/target")
    totals = outputs.flatten(2).sum(2) if outputs.dim() > 2 else outputs
    order = totals.argsort(dim=1, descending=True, stable=True)
    return [
        ClassTarget(index=int(order[row, t.rank])) if isinstance(t, RankTarget) else t for row, t in enumerate(targets)
    ]


def node_of(target: Target, graph: Graph) -> int:
    """The node whose value the target is read from."""
    if not isinstance(target, UnitTarget):
        return graph.output
    node = graph.find(target.layer)
    if node is None:
        raise InvalidTarget(f"the model has no layer {target.layer!r}", pointer="/target/layer")
    return node.index


def masks(targets: Sequence[Target], graph: Graph, values: Mapping[int, Tensor] | Sequence[Any]) -> dict[int, Tensor]:
    """For each node that some target reads, ones at the elements that the rows' targets sum over.

    Each is shaped like the node's value: a row's score is the sum of value * mask over all nodes, and the masks
    themselves are its gradient's start.
    """
    found: dict[int, Tensor] = {}
    for row, target in enumerate(targets):
        index = node_of(target, graph)
        mask = found.setdefault(index, torch.zeros_like(values[index]))
        mask[row] = _elements(target, mask[row])
    return found


def _elements(target: Target, like: Tensor) -> Tensor:
    mask = torch.zeros_like(like)
    if isinstance(target, ClassTarget):
        mask[target.index] = 1
    elif isinstance(target, MaskTarget):
        mask[target.index] = torch.as_tensor(target.mask, dtype=like.dtype, device=like.device)
    elif isinstance(target, UnitTarget) and target.index is not None:
        mask[target.index] = 1
    elif isinstance(target, UnitTarget):
        mask[target.channel or 0] = 1
    else:
        mask.fill_(1)
    return mask


def scores(found: Mapping[int, Tensor], values: Mapping[int, Tensor] | Sequence[Any]) -> Tensor:
    """The score of every row, (n,)."""
    parts = [(values[index] * mask).flatten(1).sum(1) if mask.dim() > 1 else values[index] * mask
             for index, mask in found.items()]  # fmt: skip
    return torch.stack(parts).sum(0)
