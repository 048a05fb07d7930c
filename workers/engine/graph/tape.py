"""Tape: one forward pass, kept node by node, so that any number of backward walks can share it.

Each call is run on detached copies of its inputs. So every node has a small autograd graph of its own, and a rule can
ask for the vector-Jacobian product of just that node; what a rule does elsewhere never leaks into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from workers.engine.graph.adjoints import adjoint
from workers.engine.graph.graph import Graph, Node, is_float
from workers.engine.graph.rows import Rows

Parts: TypeAlias = Mapping[int, Tensor]  # of a node that returns several tensors: what belongs to which of them
Flow: TypeAlias = Tensor | Parts


@dataclass(frozen=True, slots=True)
class Local:
    """One node's part of a tape: the nodes its `leaves` came from, and its output, connected by autograd.

    Of a node that picks one of several tensors, `item` says which, and there are no leaves. `values` are those of all
    nodes of the tape, for a rule that looks further than its own; `reads` says whose is what of each leaf.
    """

    node: Node
    inputs: tuple[int, ...]
    leaves: tuple[Tensor, ...]
    output: Any
    item: int | None = None
    values: Sequence[Any] = field(default=(), repr=False)
    reads: tuple[Rows, ...] = ()

    def vjp(self, weights: Flow) -> tuple[Tensor | None, ...]:
        """`weights` (shaped like the output) times the Jacobian of this node, for each leaf."""
        if isinstance(weights, Tensor) and not self.output.requires_grad:  # zeros_like: made of no input's value
            return (None,) * len(self.leaves)
        if isinstance(weights, Tensor):
            if (known := adjoint(self.node, self.leaves, weights)) is not None:
                return known
            outputs, cotangents = [self.output], [weights]
        else:
            outputs, cotangents = [self.output[item] for item in weights], list(weights.values())
        return torch.autograd.grad(outputs, self.leaves, cotangents, retain_graph=True, allow_unused=True)


class Tape:
    """The locals of one forward pass of a graph; `values[i]` is the output of node i, detached.

    Of a graph that is run a row at a time, it holds one row.
    """

    def __init__(self, graph: Graph, x: Tensor) -> None:
        assert not graph.alone or len(x) == 1, "this model runs a row at a time"
        self.graph = graph
        self.values: list[Any] = [None] * len(graph.nodes)
        self.locals: list[Local | None] = [None] * len(graph.nodes)
        self.values[0] = x.detach()
        with torch.enable_grad():
            for node in graph.nodes[1:]:
                self._record(node)

    def _record(self, node: Node) -> None:
        if node.op == "getitem" and isinstance(self.values[node.inputs[0]], tuple | list):
            picked, item = self.values[node.inputs[0]][node.args[1]], node.args[1]
            self.values[node.index] = picked
            self.locals[node.index] = Local(node, node.inputs, (), picked, item)
            return
        floats = tuple(i for i in node.inputs if is_float(self.values[i]))
        leaves = tuple(self.values[i].detach().requires_grad_() for i in floats)
        given = dict(zip(floats, leaves, strict=True)) | {i: self.values[i] for i in node.inputs if i not in floats}
        output = node.run(given)
        reads = tuple(self.graph.nodes[i].rows for i in floats)
        self.locals[node.index] = Local(node, floats, leaves, output, values=self.values, reads=reads)
        self.values[node.index] = _detached(output)

    @property
    def output(self) -> Tensor:
        """What the model returned, detached."""
        value: Tensor = self.values[self.graph.output]
        return value


def _detached(output: Any) -> Any:
    if isinstance(output, tuple | list):
        return tuple(_detached(item) for item in output)
    return output.detach() if isinstance(output, Tensor) else output
