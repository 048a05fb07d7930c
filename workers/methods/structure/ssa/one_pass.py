"""How every unit of a level depends on every unit below it, by one backward pass instead of one for each unit.

Where all but the layers with weights keep channels apart, the derivative of every unit's mean may be asked for at once:
what arrives at the output of a layer with weights belongs, channel by channel, to one unit of the top. Summed over the
places of the layer below, that derivative is the weights contracted with as many numbers as the kernel has offsets: how
much of it each offset can reach. So these numbers, the statistics of an input, hold all that is asked of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.graph import Node
from workers.engine.layers.levels import Between


@dataclass(frozen=True)
class Route:
    """A way from the top to units below: down to the output of node `leaf`, and on by `kernel`.

    `units` (channels,) are the top's units that the leaf's channels feed, -1 for none; `kernel` is (channels, width,
    offsets), `columns` (channels or 1, width) the units below that it reads, `reach` (places, offsets) whether an
    offset from a place of the leaf lies within what it reads.
    """

    leaf: int
    units: Tensor
    kernel: Tensor
    columns: Tensor
    reach: Tensor

    def statistic(self, slope: Tensor) -> Tensor:
        """Of the derivative at the leaf (rows, channels, *places): (rows, channels, offsets)."""
        return slope.flatten(2) @ self.reach if slope.dim() > 2 else slope[:, :, None] @ self.reach

    def add(self, omega: Tensor, statistic: Tensor, wanted: Tensor) -> None:
        """Add to omega (rows, wanted, columns and one for what is no unit) what goes this way."""
        wanted_row, channel = (wanted[:, None] == self.units[None]).nonzero(as_tuple=True)
        if not len(channel):
            return
        part = torch.einsum("njd,rnd->rnj", self.kernel[channel], statistic[:, channel])
        columns = self.columns[channel if len(self.columns) > 1 else torch.zeros_like(channel)]
        into = torch.zeros(len(part), len(channel), omega.shape[2], dtype=omega.dtype, device=omega.device)
        omega[:, wanted_row] += into.scatter_add_(2, columns.expand(part.shape), part)


@dataclass(frozen=True)
class Channelwise:
    """The routes between a level and those below it; `nodes` are computed from the leaves up to the top."""

    between: Between
    routes: tuple[Route, ...]
    nodes: tuple[Node, ...]

    @property
    def reads(self) -> set[int]:
        """The values that `statistics` needs."""
        return ({i for n in self.nodes for i in n.inputs} | {r.leaf for r in self.routes}) - {
            n.index for n in self.nodes
        }

    def statistics(self, values: Mapping[int, Any]) -> list[Tensor]:
        """Of some inputs, by route; `values` are those of the nodes in `reads`."""
        leaves = {route.leaf: values[route.leaf].detach().requires_grad_() for route in self.routes}
        have: dict[int, Any] = {**{i: values[i] for i in self.reads}, **leaves}
        with torch.enable_grad():
            for node in self.nodes:
                have[node.index] = node.run(have)
        top = have[self.between.top.index]
        slopes = dict(
            zip(leaves, torch.autograd.grad(top, [*leaves.values()], self.between.top.mean_start(top)), strict=True)
        )
        return [route.statistic(slopes[route.leaf]) for route in self.routes]

    def omega(self, statistics: Sequence[Tensor], wanted: Tensor) -> Tensor:
        """The derivative of each wanted unit's mean in each unit below, summed over places: (rows, wanted, units)."""
        width = sum(level.units for level in self.between.below)
        like = statistics[0]
        omega = torch.zeros(len(like), len(wanted), width + 1, dtype=like.dtype, device=like.device)
        for route, statistic in zip(self.routes, statistics, strict=True):
            route.add(omega, statistic, wanted)
        return omega[:, :, :width]
