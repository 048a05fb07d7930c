"""Levels: the layers between which a net is looked at step by step, and what lies between one and those below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter

POOLS = frozenset(name for name in ops.MAX_POOLING | ops.AVERAGING if "pool" in name or "upsample" in name)
RESHAPING = frozenset({"flatten", "view", "reshape"})
PASSED = POOLS | RESHAPING | {"cat", "mean", "getitem", "dropout", "feature_dropout"}


@dataclass(frozen=True)
class Level:
    """A layer and its units: the channels, along `axis` of its value by row, each with all its places."""

    node: Node
    axis: int
    units: int

    @property
    def index(self) -> int:
        return self.node.index

    def by_unit(self, value: Tensor, join: Callable[[Tensor, list[int]], Tensor] = torch.sum) -> Tensor:
        """The layer's value, or what belongs to it, summed or otherwise joined over places: (rows, units)."""
        value = self.node.rows.split(value)
        places = [axis for axis in range(1, value.dim()) if axis != self.axis % value.dim()]
        return join(value, places) if value.dim() > 2 else value.reshape(len(value), -1)

    def mean_start(self, value: Tensor) -> Tensor:
        """The derivative of each unit's mean over its places in the layer's value, which is shaped like it."""
        places = math.prod(self.node.rows.split(value).shape[1:]) // self.units
        return torch.full_like(value, 1 / places)


@dataclass(frozen=True)
class Between:
    """What is computed from the levels `below` (and the input) up to the level `top`, itself the last of `nodes`."""

    top: Level
    below: tuple[Level, ...]
    nodes: tuple[Node, ...]

    @property
    def reads(self) -> tuple[int, ...]:
        """The values that the nodes read and do not make."""
        made = {node.index for node in self.nodes}
        return tuple(sorted({i for node in self.nodes for i in node.inputs} - made))


def levels(model: Model, names: Sequence[str], top: Node) -> list[Level]:
    """The levels of a model up to `top`, in order.

    By default they are what the layers with weights read, pooling and concatenation passed through, and a flat input;
    else the named layers. Raises InvalidParameter for a name that is no layer below `top`.
    """
    graph = model.folded
    found = {_named(model, name, top).index for name in names} if names else _sources(graph, top)
    read = {i for node in graph.nodes if node.op == "linear" for i in node.inputs}
    return [_level(graph.nodes[index], index in read) for index in sorted(found | {top.index})]


def stages(graph: Graph, among: Sequence[Level]) -> list[Between]:
    """What lies between each of the levels and those next below it."""
    by_index = {level.index: level for level in among}
    return [_between(graph, level, by_index) for level in among]


def _between(graph: Graph, top: Level, stops: Mapping[int, Level]) -> Between:
    inside: set[int] = set()
    below: set[int] = set()
    waiting = [top.index]
    while waiting:
        index = waiting.pop()
        inside.add(index)
        for i in graph.nodes[index].inputs:
            if i in stops:
                below.add(i)
            elif i and i not in inside and graph.nodes[i].carries:
                waiting.append(i)
    return Between(top, tuple(stops[i] for i in sorted(below)), tuple(graph.nodes[i] for i in sorted(inside)))


def _named(model: Model, name: str, top: Node) -> Node:
    node, norm = model.layer(name), model.norm_after(name)
    if norm is not None:
        raise InvalidParameter(
            f"{norm} is folded into {name}, whose own value is not kept; name {norm} for the value after it",
            pointer="/method/layers",
        )
    if not model.folded.reaches(node.index, top.index) or node.index == top.index or not node.part:
        raise InvalidParameter(f"{top.layer} does not depend on units of the layer {name}", pointer="/method/layers")
    return node


def _sources(graph: Graph, top: Node) -> set[int]:
    """What the layers with weights below `top` read."""
    flows = graph.reaching(0)
    reading = [node for node in graph.nodes[: top.index + 1] if node.op in ops.LINEAR and flows[node.index]]
    found = {i for node in reading for i in _source(graph, node.inputs[0], flows)}
    flat = len(graph.nodes[0].shape or ()) == 1
    leading = graph.leading([top.index])
    return {i for i in found if (i or flat) and i != top.index and leading[i]}


def _source(graph: Graph, index: int, flows: Sequence[bool]) -> set[int]:
    """The nodes that a value is gathered from, passing through what only pools and arranges channels."""
    node = graph.nodes[index]
    moved = node.op in PASSED and (node.op not in RESHAPING or len(node.shape or ()) == 1)
    if not index or not moved:
        return {index}
    found = {i for source in node.inputs if flows[source] for i in _source(graph, source, flows)}
    return found if all(graph.nodes[i].part for i in found) else {index}  # what returns several values is no layer


def _level(node: Node, read: bool) -> Level:
    """Features come last where a linear layer makes or has `read` them beside other axes, else channels come first."""
    shape = node.part or ()
    dense = node.op in ops.NORMALISING | {"linear"} and node.op not in ("group_norm", "instance_norm")
    last = len(shape) > 1 and (dense or read)
    merged = (node.rows.outer > 1) + (node.rows.inner > 1) if node.rows.axis == 0 else 0
    axis = len(shape) - 1 if last else min(merged, max(len(shape) - 1, 0))
    return Level(node, axis + 1, shape[axis] if shape else 1)
