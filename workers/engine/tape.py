"""Tape: one forward pass, kept node by node, so that any number of backward walks can share it.

Each call is run on detached copies of its inputs. So every node has a small autograd graph of its own, and a rule can
ask for the vector-Jacobian product of just that node; what a rule does elsewhere never leaks into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import Graph, Node, is_float


@dataclass(frozen=True, slots=True)
class Local:
    """One node's part of a tape: the nodes its `leaves` came from, and its output, connected by autograd."""

    node: Node
    inputs: tuple[int, ...]
    leaves: tuple[Tensor, ...]
    output: Any

    def vjp(self, weights: Any) -> tuple[Tensor | None, ...]:
        """`weights` (shaped like the output) times the Jacobian of this node, for each leaf."""
        return torch.autograd.grad(self.output, self.leaves, weights, retain_graph=True, allow_unused=True)


class Tape:
    """The locals of one forward pass of a graph; `values[i]` is the output of node i."""

    def __init__(self, graph: Graph, x: Tensor) -> None:
        self.graph = graph
        self.values: list[Any] = [None] * len(graph.nodes)
        self.locals: list[Local | None] = [None] * len(graph.nodes)
        self.values[0] = x.detach()
        with torch.enable_grad():
            for node in graph.nodes[1:]:
                self._record(node)

    def _record(self, node: Node) -> None:
        floats = tuple(i for i in node.inputs if is_float(self.values[i]))
        if not floats:
            self.values[node.index] = node.run(self.values)
            if isinstance(self.values[node.index], Tensor | tuple | list):
                self.locals[node.index] = Local(node, (), (), self.values[node.index])
            return
        leaves = tuple(self.values[i].detach().requires_grad_() for i in floats)
        given = dict(zip(floats, leaves, strict=True)) | {i: self.values[i] for i in node.inputs if i not in floats}
        output = node.run(given)
        self.locals[node.index] = Local(node, floats, leaves, output)
        self.values[node.index] = output.detach() if isinstance(output, Tensor) else output

    @property
    def output(self) -> Tensor:
        """What the model returned, detached."""
        value: Tensor = self.values[self.graph.output]
        return value
