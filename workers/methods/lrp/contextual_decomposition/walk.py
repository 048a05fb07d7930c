"""Values in three parts through a graph: of the phrase, of all else, and of neither (biases)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.linearity import is_affine
from workers.engine.model import target_masks
from workers.explanation.target import Target
from workers.methods.nested.steps import Steps

STEP = re.compile(r"\.t(\d+)\.")  # of a recurrent layer, in the name of what it computes
SEVERAL = frozenset({"chunk", "split", "split_with_sizes", "unbind", "getitem"})  # that give or take several values
CURVES = ops.ACTIVATION | ops.ELEMENTWISE


class Parts(NamedTuple):
    """What of a value is the phrase's, what all else's, and what is neither's; their sum is the value."""

    phrase: Any
    rest: Any
    neither: Any


def kind_of(node: Node, graph: Graph) -> str | None:
    """By which rule a node that values flow into is split."""
    flowing = [i for i in node.inputs if graph.reaching(0)[i]]
    if node.op in SEVERAL | ops.LINEAR or is_affine(node, graph):
        return "affine"
    if node.op in CURVES and len(flowing) == 1:
        return "curve"
    return "product" if node.op == "mul" and len(flowing) == 2 else None


@dataclass
class Walk:
    """One way forward; `inside` (copies, steps) says which steps are each copy's phrase."""

    graph: Graph
    steps: Steps
    inside: Tensor
    output_gate: bool

    @torch.no_grad()
    def scores(self, x: Tensor, wanted: Sequence[Target]) -> tuple[Tensor, Tensor]:
        """What of each copy's score is its phrase's, and what is not."""
        graph, flowing = self.graph, self.graph.reaching(0)
        own = torch.where(self.steps.mask(self.inside, x), x, 0)
        parts: dict[int, Parts] = {0: Parts(own, x - own, torch.zeros_like(x))}
        values: dict[int, Any] = {0: x}
        for node in graph.nodes[1:]:
            values[node.index] = node.run(values)
            if flowing[node.index]:
                parts[node.index] = self._split(node, parts, values)
        start = target_masks.masks(wanted, graph, values)
        sums = [
            target_masks.scores(start, graph, {i: parts[i][k] if i in parts else values[i] for i in start})
            for k in range(3)
        ]
        return sums[0], sums[1] + sums[2]

    def _split(self, node: Node, parts: dict[int, Parts], values: dict[int, Any]) -> Parts:
        kind = kind_of(node, self.graph)
        if kind == "curve":
            return self._curve(node, parts, values)
        if kind == "product":
            return self._product(node, parts, values)
        read = [i for i in node.inputs if i in parts]
        runs = [node.run({**values, **{i: parts[i][k] for i in read}}) for k in range(3)]
        nothing = node.run({**values, **{i: _zeros(values[i]) for i in read}})
        return Parts(_less(runs[0], nothing), _less(runs[1], nothing), runs[2])

    def _curve(self, node: Node, parts: dict[int, Parts], values: dict[int, Any]) -> Parts:
        """Each part by what it adds, the mean over coming first and coming last."""
        (read,) = [i for i in node.inputs if i in parts]
        own, rest, neither = parts[read]

        def at(value: Tensor) -> Tensor:
            found: Tensor = node.run({**values, read: value})
            return found

        base, with_own, with_rest, whole = at(neither), at(own + neither), at(rest + neither), values[node.index]
        return Parts(
            (with_own - base + whole - with_rest) / 2, (with_rest - base + whole - with_own) / 2, base.expand_as(whole)
        )

    def _product(self, node: Node, parts: dict[int, Parts], values: dict[int, Any]) -> Parts:
        p, q = (i for i in node.inputs if i in parts)
        one, other = parts[p], parts[q]
        if not self.output_gate and node.layer.endswith(".h"):
            gates = [i for i in (p, q) if self.graph.nodes[i].layer.endswith(".o")]
            if gates:
                signal = parts[q if gates[0] == p else p]
                return Parts(*(values[gates[0]] * part for part in signal))
        own = one.phrase * (other.phrase + other.neither) + one.neither * other.phrase
        biases = one.neither * other.neither
        home = STEP.search(node.layer)
        if home is None or not node.rows.plain or int(home[1]) >= self.inside.shape[1]:
            return Parts(own, values[node.index] - own, torch.zeros_like(own))
        here = self.inside[:, int(home[1])].view(-1, *[1] * (own.dim() - 1))
        own = own + torch.where(here, biases, 0)
        return Parts(own, values[node.index] - own, torch.zeros_like(own))


def _zeros(value: Any) -> Any:
    return [torch.zeros_like(one) for one in value] if isinstance(value, tuple | list) else torch.zeros_like(value)


def _less(one: Any, other: Any) -> Any:
    if isinstance(one, tuple | list):
        return [a - b for a, b in zip(one, other, strict=True)]
    return one - other
