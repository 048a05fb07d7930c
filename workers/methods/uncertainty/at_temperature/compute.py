"""The model whose logits are divided by a temperature."""

from __future__ import annotations

import torch

from workers.engine.graph.graph import Node, Ref
from workers.engine.model.graph_copy import GraphCopy, edited, variant
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable, methods


def check(model: Model) -> None:
    """Raise MethodNotApplicable for a model whose output is no logits."""
    if model.card.output not in ("logits", "binary", "multilabel", "segmentation"):
        raise MethodNotApplicable(
            f"a temperature divides logits, and the output of {model.card.name} is {model.card.output}",
            pointer="/method",
            instead=methods("predict"),
        )


def scaled(model: Model, temperature: float) -> Model:
    """The same model, its output divided by the temperature."""

    def edit(copy: GraphCopy, node: Node) -> Ref:
        made = copy.copied(node)
        if node.index != model.folded.output:
            return made
        return copy.added(
            "at_temperature", torch.ops.aten.mul.Tensor, "mul", (made, 1 / temperature), node.shape or (), node
        )

    return variant(model, edited(model.folded, edit))
