"""Which parts of a net keep channels apart, and by what routes: found once for a graph, before any input is seen."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node
from workers.engine.layers.levels import PASSED, POOLS, RESHAPING, Between
from workers.methods.structure.ssa.one_pass import Channelwise, Route

CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})
SAME = (
    ops.ACTIVATION
    | ops.ELEMENTWISE
    | ops.ADDITION
    | ops.SCALING
    | ops.BATCH_NORM
    | POOLS
    | {"dropout", "feature_dropout"}
)
_CLOSE = 1e-6  # of ones that an interpolation returns


def channelwise(graph: Graph, between: Between, rows: int) -> Channelwise | None:
    """The routes of a part of a net that keeps channels apart, None for one that does not; `rows` that a pass takes."""
    if between.top.axis != 1 or any(level.axis != 1 for level in between.below):
        return None
    if not all(graph.nodes[i].rows.plain for i in (*between.reads, *(node.index for node in between.nodes))):
        return None
    found = _Ways(graph, between, rows).found()
    return None if found is None else Channelwise(between, *found)


class _Ways:
    """The search for routes: from the top down by unit, and from the levels below up by column."""

    def __init__(self, graph: Graph, between: Between, rows: int) -> None:
        self.graph, self.between, self.rows = graph, between, rows
        self.flows = graph.reaching(0)
        like = next(a for n in graph.nodes for a in n.args if isinstance(a, Tensor) and a.is_floating_point())
        self.device, self.dtype = like.device, like.dtype
        self.width = sum(level.units for level in between.below)
        self.from_input = any(level.index == 0 for level in between.below)
        self.columns: dict[int, Tensor | None] = {0: self._none(0)}
        first = 0
        for level in between.below:
            self.columns[level.index] = torch.arange(first, first + level.units, device=self.device)
            first += level.units

    def found(self) -> tuple[tuple[Route, ...], tuple[Node, ...]] | None:
        top = self.between.top
        units: dict[int, Tensor] = {top.index: torch.arange(top.units, device=self.device)}
        routes: list[Route] = []
        passed: list[Node] = []
        for node in reversed(self.between.nodes):
            if node.index not in units:
                continue
            if node.op in CONVOLUTIONS | {"linear"}:
                route = self._weighted(node, units[node.index])
                if route is None:
                    return None
                routes.append(route)
                continue
            passed.insert(0, node)
            for i in node.inputs:
                part = self._fed(node, i, units[node.index]) if self.flows[i] else self._none(0)
                if part is None or (i in units and not torch.equal(units[i], part)):
                    return None
                if self.flows[i] and (i or self.from_input):
                    units[i] = part
        skips = [self._skip(level.index, units[level.index]) for level in self.between.below if level.index in units]
        return (*routes, *skips), tuple(passed)

    def _none(self, index: int) -> Tensor:
        shape = self.graph.nodes[index].shape or (1,)
        return torch.full((shape[0],), -1, device=self.device)

    def _fed(self, node: Node, i: int, units: Tensor) -> Tensor | None:
        """The units that the channels of input i feed through a node that mixes no channels; None of one that does."""
        if node.op == "cat" and _axis(node) == 1:
            sizes = [(self.graph.nodes[j].shape or (0,))[0] for j in node.inputs]
            first = sum(sizes[: node.inputs.index(i)])
            return units[first : first + sizes[node.inputs.index(i)]] if _each_once(node) else None
        return units if _keeps_channels(self.graph, node, i) else None

    def _weighted(self, node: Node, units: Tensor) -> Route | None:
        columns = self._columns(node.inputs[0])
        if columns is None or len(node.inputs) != 1 or not self._ones(node):
            return None
        weight: Tensor = node.args[1]
        columns = torch.where(columns < 0, self.width, columns)
        if node.op == "linear":
            one = weight.new_ones(1, 1)
            return (
                Route(node.index, units, weight[:, :, None], columns[None], one) if len(node.shape or ()) == 1 else None
            )
        groups = node.args[6] if len(node.args) > 6 else 1
        by_group = columns.view(groups, -1).repeat_interleave(len(weight) // groups, 0) if groups > 1 else columns[None]
        return Route(node.index, units, weight.flatten(2), by_group, self._reach(node, weight))

    def _reach(self, node: Node, weight: Tensor) -> Tensor:
        size = weight.shape[2:]
        offsets = size.numel()
        each = torch.eye(offsets, dtype=weight.dtype, device=weight.device).view(offsets, 1, *size)
        within = weight.new_ones(1, 1, *(self.graph.nodes[node.inputs[0]].shape or ())[1:])
        reached: Tensor = node.call(within, each, None, *node.args[3:6])
        return reached[0].flatten(1).T

    def _skip(self, index: int, units: Tensor) -> Route:
        columns = self.columns[index]
        assert columns is not None
        places = torch.Size((self.graph.nodes[index].shape or (1,))[1:]).numel()
        one = torch.ones(len(columns), 1, 1, dtype=self.dtype, device=self.device)
        return Route(index, units, one, columns[:, None], one[:1, 0].expand(places, 1))

    def _columns(self, i: int) -> Tensor | None:
        """The unit below that each channel of a value is, -1 for one of the input's; None where channels are mixed."""
        if i not in self.columns:
            self.columns[i] = self._columns_of(self.graph.nodes[i])
        return self.columns[i]

    def _columns_of(self, node: Node) -> Tensor | None:
        if node.op not in PASSED or not self.flows[node.index]:
            return None
        parts = [self._columns(i) for i in node.inputs if self.flows[i]]
        whole = [part for part in parts if part is not None]
        if len(whole) < len(parts):
            return None
        if node.op == "cat":
            return torch.cat(whole) if _axis(node) == 1 and _each_once(node) else None
        if node.op in RESHAPING and len(node.shape or ()) == 1:
            return whole[0].repeat_interleave((node.shape or (0,))[0] // len(whole[0]))
        return whole[0] if _keeps_channels(self.graph, node, node.inputs[0]) else None

    def _ones(self, node: Node) -> bool:
        """Whether ones below arrive as ones at the input of a node: else an offset reaches more or less than one."""
        nodes, have = self.graph.nodes, dict[int, Any]()
        like: Tensor = node.args[1]

        def value(i: int) -> Any:
            if i not in have:
                known = i in {0, *(level.index for level in self.between.below)}
                at = {j: value(j) for j in nodes[i].inputs} if not known else {}
                have[i] = like.new_ones(self.rows, *(nodes[i].shape or ())) if known else nodes[i].run(at)
            return have[i]

        found: Tensor = value(node.inputs[0])
        return bool((found - 1).abs().max() < _CLOSE)


def _axis(node: Node) -> int:
    """The axis that a concatenation joins, from the front."""
    axis: int = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return axis if axis >= 0 else axis + 1 + len(node.shape or ())


def _each_once(node: Node) -> bool:
    return len(node.args[0]) == len(node.inputs)


def _keeps_channels(graph: Graph, node: Node, i: int) -> bool:
    """Whether a node's channels are those of input i, one by one."""
    before, after = graph.nodes[i].shape, node.shape
    if node.op == "getitem":
        return node.args[1] == 0 and graph.nodes[i].op in POOLS
    if node.op in POOLS and after is None:
        return True
    if before is None or after is None or before[:1] != after[:1]:
        return False
    if node.op in RESHAPING | {"squeeze", "unsqueeze"}:
        return math.prod(before) == before[0] == math.prod(after)
    if node.op == "mean":
        axes = node.args[1] if len(node.args) > 1 and isinstance(node.args[1], list | tuple) else ()
        return bool(axes) and all((a if a >= 0 else a + 1 + len(before)) > 1 for a in axes)
    return node.op in SAME and len(before) == len(after)
