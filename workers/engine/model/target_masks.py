"""Targets at work: which elements of which nodes' values a row's target sums over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.graph import Graph
from workers.engine.graph.rows import by_row
from workers.explanation.errors import InvalidTarget
from workers.explanation.target import (
    ClassTarget,
    ElementTarget,
    MaskTarget,
    RankTarget,
    ReducedTarget,
    Target,
    UnitTarget,
    ValueTarget,
)


def resolve(targets: Sequence[Target], outputs: Tensor) -> list[Target]:
    """Ranks become classes, by the outputs (n, classes, ...) of the rows themselves; the rest stays."""
    wanted = [t.rank for t in targets if isinstance(t, RankTarget)]
    if not wanted:
        return list(targets)
    order = totals(outputs).argsort(dim=1, descending=True, stable=True)
    return [
        ClassTarget(index=int(order[row, t.rank])) if isinstance(t, RankTarget) else t for row, t in enumerate(targets)
    ]


def totals(outputs: Tensor) -> Tensor:
    """The score of every class (n, classes): the sum over its places; of a lone number a row, that number."""
    return outputs.flatten(2).sum(2) if outputs.dim() > 2 else outputs.reshape(len(outputs), -1)


def entry_of(target: Target) -> int | None:
    """The entry of the output's first axis that a target alone is; None of any other target."""
    if isinstance(target, ClassTarget):
        return target.index
    if isinstance(target, ElementTarget) and len(target.index) == 1:
        return target.index[0]
    return 0 if isinstance(target, ValueTarget) else None


def pick(outputs: Tensor, target: Target) -> Tensor:
    """The target's value in outputs (..., k) that are one list, or one number as a list of one."""
    if isinstance(target, ClassTarget | ElementTarget):
        return outputs[..., target.index if isinstance(target, ClassTarget) else target.index[0]]
    return (outputs * elements(target, outputs.new_zeros(outputs.shape[-1]))).sum(-1)


def is_inside(targets: Sequence[Target]) -> bool:
    """Whether any of the targets is read within the net."""
    return any(isinstance(target, UnitTarget) for target in targets)


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

    Each is shaped like the node's value: a row's score is the sum of value * mask over what is the row's of all nodes,
    and the masks themselves are its gradient's start.
    """
    found: dict[int, Tensor] = {}
    for row, target in enumerate(targets):
        node = graph.nodes[node_of(target, graph)]
        mask = found.setdefault(node.index, torch.zeros_like(values[node.index]))
        parts = node.rows.split(mask)
        parts[row] = elements(target, parts[row])
    return found


def output_mask(targets: Sequence[Target], outputs: Tensor) -> Tensor:
    """Ones at the elements of the outputs (n, ...) that each row's target sums over; InvalidTarget for a layer."""
    mask = torch.zeros_like(outputs)
    classes = [target.index for target in targets if isinstance(target, ClassTarget)]
    if len(classes) == len(targets) and mask.dim() > 1:
        at = torch.arange(len(classes), device=mask.device), torch.tensor(classes, device=mask.device)
        return mask.index_put_(at, mask.new_ones(()))  # at once: on a GPU each row would be a launch or two
    for row, target in enumerate(targets):
        if isinstance(target, UnitTarget):
            raise InvalidTarget(f"the model has no layer {target.layer!r}", pointer="/target/layer")
        mask[row] = elements(target, mask[row])
    return mask


def output_scores(targets: Sequence[Target], outputs: Tensor) -> Tensor:
    """The score of every row (n,), of targets that are read from the outputs (n, ...)."""
    return by_row(outputs * output_mask(targets, outputs))


def elements(target: Target, like: Tensor) -> Tensor:
    """How much of each element of a row's value the target counts, shaped like it."""
    mask = torch.zeros_like(like)
    if isinstance(target, ReducedTarget):
        mask.fill_(1 if target.reduce == "sum" else 1 / mask.numel())
    elif isinstance(target, ElementTarget):
        mask[target.index] = 1
    elif isinstance(target, ClassTarget):
        mask[target.index if mask.dim() else ()] = 1
    elif isinstance(target, MaskTarget):
        given = torch.as_tensor(target.mask, dtype=like.dtype, device=like.device)
        own = tuple(slice(size) for size in given.shape)  # of a text that is padded its own tokens alone
        mask[target.index][own] = given
    elif isinstance(target, UnitTarget) and target.index is not None:
        mask[target.index] = 1
    elif isinstance(target, UnitTarget) and like.dim():
        mask.movedim(target.axis, 0)[target.channel or target.token or 0] = 1
    else:
        mask.fill_(1)
    return mask


def scores(found: Mapping[int, Tensor], graph: Graph, values: Mapping[int, Tensor] | Sequence[Any]) -> Tensor:
    """The score of every row, (n,)."""
    parts = [by_row(values[index] * mask, graph.nodes[index].rows) for index, mask in found.items()]
    return torch.stack(parts).sum(0)
