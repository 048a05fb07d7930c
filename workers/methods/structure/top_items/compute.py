"""The items of a dataset by a unit's value, and the place of each that the value comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.data.streaming import items
from workers.engine.graph.graph import Node
from workers.engine.layers.receptive_field import Windows, windows
from workers.engine.model import target_masks
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import Instead, InvalidTarget
from workers.explanation.target import RankTarget, Target, UnitTarget
from workers.methods.nested.ranks import places, rounding

FADED = 0.2  # of what is not seen, how much of it is left


@dataclass(frozen=True)
class Top:
    """Items (k, *shape) with their numbers, the unit's values, and first and last place seen (k, axes, 2)."""

    x: Tensor
    items: Tensor
    scores: Tensor
    patches: Tensor
    sees_all: bool

    def faded(self) -> Tensor:
        """The items, what lies outside their patches faded towards the item's own mean."""
        if self.sees_all:
            return self.x
        seen = torch.zeros_like(self.x, dtype=torch.bool)
        for one, patch in zip(seen, self.patches.tolist(), strict=True):
            one[(slice(None), *(slice(first, last + 1) for first, last in patch))] = True
        mean = self.x.flatten(1).mean(1).view(-1, *[1] * (self.x.dim() - 1))
        return torch.where(seen, self.x, mean + FADED * (self.x - mean))


class Best:
    """The best items so far; what another worker can go on from."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.kept: dict[str, Tensor] = {}

    def add(self, x: Tensor, numbers: Tensor, values: Tensor, seen: Tensor) -> None:
        new = {"x": x.cpu(), "numbers": numbers, "values": values.double().cpu(), "places": seen.cpu()}
        whole = {name: torch.cat([self.kept[name], part]) for name, part in new.items()} if self.kept else new
        by_number = whole["numbers"].argsort()  # of those that rounding cannot tell apart the first items stay
        order = by_number[places(whole["values"][by_number], descending=True).argsort()[: self.count]]
        self.kept = {name: values[order] for name, values in whole.items()}

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {name: values.numpy() for name, values in self.kept.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.kept = {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}


def check(model: Model) -> None:
    """Raise InvalidTarget for a rank: every item would be asked about a class of its own."""
    if any(isinstance(target, RankTarget) for target in model.targets):
        raise InvalidTarget(
            "top_items looks for what one unit likes, and a rank is another class for every item; name a class by its "
            "index or label, or a unit by its layer",
            pointer="/target",
            instead=[Instead(target=0)],
        )


def top(model: Model, batch: Batch, dataset: str, count: int, lowest: bool) -> Top:
    """The items of highest (or lowest) value of the batch's target, of equals but for rounding the first."""
    target, best = batch.targets[0], Best(count)
    graph = model.graph_of([target])
    node = graph.nodes[target_masks.node_of(target, graph)]
    for found in items(model, batch, dataset, best):
        with torch.no_grad():
            output, kept = graph.run(found.x, {node.index})
        value = output if node.index == graph.output else kept[node.index]
        scores, seen = _values(target, node, node.rows.split(value), lowest)
        numbers = torch.arange(found.start, found.start + len(found.x))
        best.add(found.x, numbers, -scores if lowest else scores, seen)
    fields = windows(graph, node) if _has_channel(target, node) else None
    x = best.kept["x"]
    patches = (
        _patches(fields, best.kept["places"], x.shape[2:]) if fields else torch.zeros(len(x), 0, 2, dtype=torch.int32)
    )
    values = best.kept["values"]
    return Top(x, best.kept["numbers"].int(), (-values if lowest else values).float(), patches, fields is None)


def _has_channel(target: Target, node: Node) -> bool:
    return isinstance(target, UnitTarget) and len(node.part or ()) > 1 and target.axis == 0


def _values(target: Target, node: Node, value: Tensor, lowest: bool) -> tuple[Tensor, Tensor]:
    """The target's value for each item (n,), and where in the layer it is from (n, axes); of a channel, its extreme."""
    if isinstance(target, UnitTarget) and target.index is not None and len(target.index) > 1:
        places = torch.tensor(target.index[1:]).expand(len(value), -1)
        index: Any = (slice(None), *target.index)
        return value[index], places
    if _has_channel(target, node) and isinstance(target, UnitTarget):
        channel = value[:, target.channel or 0]
        flat = channel.flatten(1)
        best = flat.amin(1) if lowest else flat.amax(1)
        first = ((flat - best[:, None]).abs() <= rounding(flat)).int().argmax(1)
        return best, torch.stack(torch.unravel_index(first, channel.shape[1:]), 1)
    scores = torch.stack([(one * target_masks.elements(target, one)).sum() for one in value])
    return scores, torch.zeros(len(value), 0, dtype=torch.long)


def _patches(fields: Windows, places: Tensor, size: torch.Size) -> Tensor:
    """First and last place of the input that each of the places sees, (k, axes, 2)."""
    ends = []
    for axis, window in enumerate(fields):
        at = places[:, axis] * window.jump
        ends.append(torch.stack([at + window.low, at + window.high], 1).clamp(0, size[axis] - 1))
    return torch.stack(ends, 1).int()
