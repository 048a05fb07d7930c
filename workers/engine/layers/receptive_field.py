"""Receptive fields: which places of the input a unit can see, read off the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node

_SAME_PLACES = ops.ACTIVATION | ops.BATCH_NORM | ops.ADDITION | ops.SCALING | {"cat"}
_POOLING = frozenset({"max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"})


@dataclass(frozen=True, slots=True)
class Window:
    """Along one axis the unit at place o sees the input's places from jump * o + low to jump * o + high."""

    jump: int
    low: int
    high: int

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    @property
    def apart(self) -> int:
        """How many units further the next one is that sees none of the same places."""
        return -(-self.size // self.jump)

    def through(self, kernel: int, stride: int, padding: int, dilation: int) -> Window:
        """The window of a unit that reads `kernel` of these, `dilation` apart."""
        reach = (kernel - 1) * dilation - padding
        return Window(self.jump * stride, self.low - self.jump * padding, self.high + self.jump * reach)


Windows: TypeAlias = tuple[Window, ...]


def windows(graph: Graph, to: Node) -> Windows | None:
    """The windows of the units of a node, one per axis of places; None where each may see the whole input."""
    axes = len(graph.nodes[0].shape or ()) - 1
    found: dict[int, Windows | None] = {0: (Window(1, 0, 0),) * axes if axes > 0 else None}
    flows = graph.reaching(0)
    for node in graph.nodes[1 : to.index + 1]:
        if flows[node.index]:
            read = [found[i] for i in node.inputs if i in found]
            found[node.index] = _through(node, _union(read), axes, _one_shape(node, graph))
    return found.get(to.index)


def _through(node: Node, below: Windows | None, axes: int, same: bool) -> Windows | None:
    if below is None or not node.rows.plain or len(node.shape or ()) != axes + 1:
        return None
    if node.op in ops.CONVOLUTION and node.op != "convolution":
        kernel = tuple(node.args[1].shape[2:])
        stride, padding, dilation = _given(node, 3, 1), _given(node, 4, 0), _given(node, 5, 1)
    elif node.op in _POOLING:
        kernel = _each(node.args[1], axes)
        stride, padding = _given(node, 2, None) or kernel, _given(node, 3, 0)
        dilation = _given(node, 4, 1) if node.op.startswith("max") else 1
    elif node.op in _SAME_PLACES and same and not (node.op == "cat" and _given(node, 1, 0) != 1):
        return below
    else:
        return None
    spread = _each(dilation, axes)
    if isinstance(padding, str):
        total = [(k - 1) * d if padding == "same" else 0 for k, d in zip(kernel, spread, strict=True)]
        padding = [t // 2 for t in total]
    parts = zip(below, kernel, _each(stride, axes), _each(padding, axes), spread, strict=True)
    return tuple(window.through(*numbers) for window, *numbers in parts)


def _one_shape(node: Node, graph: Graph) -> bool:
    """Whether all that the node reads has the node's own places, so that none is broadcast."""
    return all((graph.nodes[i].shape or ())[1:] == (node.shape or ())[1:] for i in node.inputs)


def _union(read: list[Windows | None]) -> Windows | None:
    """What is seen through several inputs: they must agree in their jumps."""
    merged = read[0]
    for other in read[1:]:
        if merged is None or other is None or any(a.jump != b.jump for a, b in zip(merged, other, strict=True)):
            return None
        merged = tuple(
            Window(a.jump, min(a.low, b.low), max(a.high, b.high)) for a, b in zip(merged, other, strict=True)
        )
    return merged


def _given(node: Node, position: int, default: Any) -> Any:
    return node.args[position] if len(node.args) > position else default


def _each(value: Any, axes: int) -> tuple[int, ...]:
    """A number for each axis."""
    if isinstance(value, int):
        return (value,) * axes
    return tuple(value) * axes if len(value) == 1 else tuple(value)
