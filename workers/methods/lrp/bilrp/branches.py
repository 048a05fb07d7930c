"""Branches: what a model makes of each of two inputs by itself, and the score of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor

from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.rows import by_row
from workers.engine.model.target_masks import elements
from workers.explanation.target import Target

Values: TypeAlias = Mapping[int, Any] | Sequence[Any]


@dataclass(frozen=True)
class Branches:
    """The nodes of the `head`, in order, that make the target's score of two `sides`: nodes of one input each."""

    graph: Graph
    end: int
    target: Target
    head: tuple[int, ...]
    sides: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def sizes(self) -> tuple[int, int]:
        """How many numbers are made of each input."""
        one, other = (sum(prod(self.graph.nodes[i].part or ()) for i in side) for side in self.sides)
        return one, other

    def numbers(self, side: int, values: Values) -> Tensor:
        """What is made of an input, end to end: (n, numbers)."""
        return torch.cat([self.graph.by_row(i, values[i]).flatten(1) for i in self.sides[side]], 1)

    def placed(self, side: int, numbers: Tensor) -> dict[int, Tensor]:
        """Such numbers as the values of their nodes."""
        nodes = [self.graph.nodes[i] for i in self.sides[side]]
        parts = torch.split(numbers, [prod(node.part or ()) for node in nodes], 1)
        return {
            node.index: node.rows.join(own.reshape(len(own), *(node.part or ())))
            for node, own in zip(nodes, parts, strict=True)
        }

    def score(self, values: Values, one: Tensor, other: Tensor) -> Tensor:
        """The target's score (n,) of these numbers of each side; all else, and what is divided by, as in `values`."""
        found: dict[int, Any] = {**self.placed(0, one), **self.placed(1, other)}
        for index in self.head:
            node = self.graph.nodes[index]
            found[index] = _run(node, {i: found.get(i, values[i]) for i in node.inputs}, values)
        end = self.graph.by_row(self.end, found[self.end])
        return by_row(end * elements(self.target, end[0]))

    def slope(self, values: Values, side: int, given: Tensor) -> Tensor:
        """By how much each number of a side counts in the product where the other side's are `given`: (n, numbers)."""
        with torch.enable_grad():
            own = self.numbers(side, values).detach().requires_grad_()
            pairs = [(own, one) if side == 0 else (one, own) for one in (given, torch.zeros_like(given))]
            scores = [self.score(values, *pair) for pair in pairs]
            return torch.autograd.grad((scores[0] - scores[1]).sum(), own)[0]


def _run(node: Node, read: Mapping[int, Any], values: Values) -> Any:
    """The node's value; of a cosine with the sizes that its vectors have in `values`."""
    if node.op != "cosine_similarity":
        return node.run(read)
    (one, other), (first, second) = ([at[ref.index] for ref in node.args[:2]] for at in (read, values))
    dim = node.kwargs.get("dim", node.args[2] if len(node.args) > 2 else 1)
    least = node.kwargs.get("eps", node.args[3] if len(node.args) > 3 else 1e-8)
    sizes = [vector.norm(dim=dim, keepdim=True).clamp(min=least) for vector in (first, second)]
    return (one / sizes[0] * (other / sizes[1])).sum(dim)
