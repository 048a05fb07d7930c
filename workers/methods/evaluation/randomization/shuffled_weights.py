"""Copies of a model whose weights say nothing: shuffled layer by layer, the model itself untouched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node, Ref
from workers.engine.model.graph_copy import GraphCopy, edited, variant
from workers.engine.model.model import Model
from workers.engine.model.resources import Resources
from workers.explanation.errors import MethodNotApplicable
from workers.methods.nested.resources import Refitted

_WEIGHTED = ops.LINEAR | ops.EMBEDDING | ops.NORMALISING | ops.BATCH_NORM


@dataclass(frozen=True)
class Stranger:
    """A model whose explanations should have nothing to do with the first's, and what its methods may ask for."""

    model: Model
    resources: Resources


def layers(graph: Graph) -> list[list[Node]]:
    """The layers with weights from the output down, each the nodes that share them; raises MethodNotApplicable."""
    found: dict[int, list[Node]] = {}
    for node in reversed(graph.nodes[1:]):
        own = _weights(node)
        if own:
            found.setdefault(id(own[0]), []).append(node)
    if not found:
        raise MethodNotApplicable("this model has no weights that could be shuffled", pointer="/method")
    return list(found.values())


def shuffled(model: Model, resources: Resources, cascade: bool, seed: int) -> list[Stranger]:
    """For each layer from the output down a copy of the model with that layer's weights shuffled within each tensor.

    With `cascade`, those of all layers above too. What a layer's values are stays, what it has learned goes.
    """
    source = torch.Generator().manual_seed(seed)
    groups = layers(model.folded)
    drawn = [_permuted(group[0], source) for group in groups]
    strangers = []
    for at in range(len(groups)):
        chosen = range(at + 1) if cascade else [at]
        changed = {node.index: drawn[one] for one in chosen for node in groups[one]}
        strangers.append(Stranger(variant(model, _changed(model.folded, changed)), Refitted(resources)))
    return strangers


def _weights(node: Node) -> list[Tensor]:
    """The tensors of numbers among a layer's arguments that have something to shuffle."""
    if node.op not in _WEIGHTED:
        return []
    return [a for a in node.args if isinstance(a, Tensor) and a.is_floating_point() and a.numel() > 1]


def _permuted(node: Node, source: torch.Generator) -> dict[int, Tensor]:
    """By the identity of each of a layer's tensors the same values in another order."""
    found = {}
    for weights in _weights(node):
        order = torch.randperm(weights.numel(), generator=source).to(weights.device)
        found[id(weights)] = torch.empty_like(weights).copy_(weights.flatten()[order].view(weights.shape))
    return found


def _changed(graph: Graph, changed: Mapping[int, Mapping[int, Tensor]]) -> Graph:
    def edit(graph_copy: GraphCopy, node: Node) -> Ref:
        if node.index not in changed:
            return graph_copy.copied(node)
        new: list[Any] = [changed[node.index].get(id(a), graph_copy.moved(a)) for a in node.args]
        return graph_copy.copied(node, new)

    return edited(graph, edit)
