"""Inactive state sensitivity: v / (w . w) w of every unit of a layer, weighted and summed (S0 eq. 7, 8).

The sum is one vector-Jacobian product once the w . w of every unit is known. Those are found from whichever is fewer:
the rows of the layer's Jacobian, one walk back per unit; or its columns, one walk forward per place of the input, where
places that no unit sees together share a walk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor

from workers.engine.graph.graph import Graph, Node
from workers.engine.graph.rows import by_row
from workers.engine.graph.tape import Tape
from workers.engine.layers.receptive_field import windows
from workers.engine.model.model import Model
from workers.engine.rules.backward import propagate
from workers.engine.rules.by_operation.passing import Gradient
from workers.methods.extent import side_by_side
from workers.methods.structure.insens.forward_mode import Pushforward

Group: TypeAlias = tuple[int | slice, ...]
Progress: TypeAlias = Callable[[int, int], None]
_rule = Gradient()


class Layer:
    """A layer of a model, ready to be explained for one input after the other."""

    def __init__(self, model: Model, node: Node) -> None:
        self.node = node
        self.graph = Graph(model.folded.nodes[: node.index + 1], node.index, model.folded.alone)
        widest = max(math.prod(other.shape or ()) for other in self.graph.nodes)
        self.rows = model.chunk if model.rows or model.short else max(model.chunk, side_by_side(widest))
        self.columns = list(self._columns())

    def _columns(self) -> Iterator[Group]:
        """The places of the input in groups: every s-th of a channel, where units see windows of s places."""
        shape, places = self.graph.nodes[0].shape or (), windows(self.graph, self.node)
        if places is None:
            yield from product(*map(range, shape))
            return
        for channel, *firsts in product(
            range(shape[0]), *(range(min(w.size, n)) for w, n in zip(places, shape[1:], strict=True))
        ):
            steps = (slice(first, None, window.size) for first, window in zip(firsts, places, strict=True))
            yield (channel, *steps)


@dataclass(frozen=True)
class Omega:
    """The terms of one input added up (1, *shape): of how many units, how many of them add something; all inactive."""

    values: Tensor
    of: int
    summed: int
    inactive: int


def insens(layer: Layer, x: Tensor, rates: Tensor, active: bool, report: Progress) -> Omega:
    """Of one input, over the inactive units of the layer, or with `active` over all."""
    tape = Tape(layer.graph, x)
    activity = layer.node.rows.split(tape.output)[0]
    inactive = activity <= 0
    of = torch.ones_like(inactive) if active else inactive
    wanted = (rates > 0) & of
    sizes = squared_weights(layer, x, wanted, report)
    scale = torch.where(wanted & (sizes > 0), rates * activity / sizes, 0.0)
    values = _back(tape, layer.node, layer.node.rows.join(scale[None]))
    return Omega(values, *(int(which.sum()) for which in (of, wanted, inactive)))


def squared_weights(layer: Layer, x: Tensor, wanted: Tensor, report: Progress) -> Tensor:
    """w . w of the wanted units of a layer for one input, shaped like the layer; zero elsewhere."""
    tape = Tape(layer.graph, x.repeat(layer.rows, *[1] * (x.dim() - 1)))
    units: list[Group] = [tuple(unit) for unit in wanted.nonzero().tolist()]
    sizes = torch.zeros(wanted.shape, dtype=x.dtype, device=x.device)
    if len(units) <= len(layer.columns):
        rows = layer.node.rows
        for chosen, ones in _chunks(units, rows.split(tape.output), report):
            squares = by_row(_back(tape, layer.node, rows.join(ones)).square())
            for unit, square in zip(chosen, squares, strict=False):
                sizes[unit] = square
        return sizes
    forward = Pushforward(tape, layer.node.index)
    for _, ones in _chunks(layer.columns, tape.values[0], report):
        sizes += layer.node.rows.split(forward(ones)).square().sum(0)
    return sizes * wanted


def _chunks(groups: list[Group], like: Tensor, report: Progress) -> Iterator[tuple[list[Group], Tensor]]:
    """Groups, as many as `like` has rows, with ones at the elements of each group in a row of its own."""
    rows = len(like)
    for start in range(0, len(groups), rows):
        chosen = groups[start : start + rows]
        ones = torch.zeros_like(like)
        for row, group in enumerate(chosen):
            ones[(row, *group)] = 1
        yield chosen, ones
        report(start + len(chosen), len(groups))


def _back(tape: Tape, node: Node, start: Tensor) -> Tensor:
    return propagate(tape, {node.index: start}, lambda _: _rule)[0]
