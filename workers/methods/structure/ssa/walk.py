"""Step-wise sensitivity analysis: from a unit down the levels to those that it depends on most (S1 Algorithm 1).

Each step takes the derivative between adjacent levels alone. What a step needs of an input is gathered in one forward
pass that serves all steps (`channelwise`); only where a part of the net mixes channels otherwise is every unit that the
walk has come to walked back from, for all inputs at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from workers.engine.graph.graph import Node
from workers.engine.layers.levels import Between, Level, levels, stages
from workers.engine.model.model import Model
from workers.engine.model.outputs import chances
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.structure.ssa.channel_routes import channelwise
from workers.methods.structure.ssa.one_pass import Channelwise
from workers.methods.structure.ssa.outliers import Tally

Values: TypeAlias = Mapping[int, Any]
Again: TypeAlias = Callable[[], Iterator[Values]]
KEPT = 2**26  # numbers that one pass keeps for the steps
AT_ONCE = 2**24  # numbers of omega
OMEGAS = 2**26  # numbers of omega in a result


@dataclass(frozen=True)
class Edge:
    """A unit of a level and one below it: for how many inputs it was an outlier, and the mean omega of those."""

    top: tuple[int, int]
    below: tuple[int, int]
    count: int
    weight: float


@dataclass(frozen=True)
class Walk:
    """How many branches are followed, what counts as an outlier, and whether each input's derivatives are kept."""

    branching: int
    fence: float
    zeros: bool = False
    omegas: bool = False


@dataclass(frozen=True)
class Step:
    """One step down from `units` of the level `top`, by units and units below.

    `counts` says for how many inputs one below was an outlier; where kept, `omega` (inputs, ...) are the derivatives.
    """

    top: int
    below: tuple[int, ...]
    units: Sequence[int]
    counts: Tensor
    omega: Tensor | None


@dataclass
class Dependencies:
    """The graph from the units at `start`, each a (node, unit) with the share of the inputs in which it matters."""

    images: int
    frequency: dict[tuple[int, int], float]
    edges: list[Edge] = field(default_factory=list)
    outliers: dict[int, float] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def in_degree(self, unit: tuple[int, int]) -> int:
        return sum(edge.below == unit for edge in self.edges)


def steps_between(model: Model, names: Sequence[str], top: Node) -> list[Level]:
    """The levels that steps from `top` go through, itself the last; raises MethodNotApplicable where there is none."""
    found = levels(model, names, top)
    if len(found) < 2:
        raise MethodNotApplicable(
            f"{top.layer} depends on no layer of units between it and the input, so there is no step to take",
            pointer="/method",
        )
    return found


class Steps:
    """The steps down from a layer of a model; with `probability` from what the output says of its classes."""

    def __init__(self, model: Model, names: Sequence[str], top: Node, probability: bool = False) -> None:
        self.model, self.probability = model, probability
        self.levels = steps_between(model, names, top)
        self.parts = [part for part in reversed(stages(model.folded, self.levels)) if part.below]
        self.routes = [self._way(part) for part in self.parts]

    def _way(self, part: Between) -> Channelwise | None:
        mixed = self.probability and part.top.index == self.levels[-1].index
        return None if mixed else channelwise(self.model.folded, part, self.model.rows or 1)

    @property
    def keep(self) -> set[int]:
        """The nodes whose values `statistics` reads."""
        return {i for route in self.routes if route for i in route.reads}

    @property
    def keep_mixed(self) -> set[int]:
        """The nodes whose values the steps that mix channels read."""
        return {i for part, route in zip(self.parts, self.routes, strict=True) if not route for i in part.reads}

    @property
    def rows(self) -> int:
        """How many inputs a pass takes, within memory."""
        nodes = self.model.folded.nodes
        kept = sum(torch.Size(nodes[i].shape or ()).numel() for i in self.keep | self.keep_mixed)
        return self.model.rows or max(1, min(self.model.chunk, KEPT // max(kept, 1)))

    def statistics(self, values: Values) -> list[Tensor]:
        """What the steps need of some inputs, from the values of the nodes in `keep`."""
        return [found for route in self.routes if route for found in route.statistics(values)]

    def walk(
        self,
        start: Sequence[tuple[int, int]],
        statistics: Sequence[Tensor],
        again: Again,
        how: Walk,
        report: Callable[[int, int], None],
    ) -> Dependencies:
        """The dependencies of the units at `start`; `again` gives the values of the nodes in `keep_mixed` by chunks.

        `report(done, of)` is called at each step.
        """
        wanted: dict[int, set[int]] = {level.index: set() for level in self.levels}
        for node, unit in start:
            wanted[node].add(unit)
        found = Dependencies(0, dict.fromkeys(start, 1.0))
        rest = list(statistics)
        for done, (part, route) in enumerate(zip(self.parts, self.routes, strict=True)):
            report(done, len(self.parts))
            mine = [rest.pop(0) for _ in route.routes] if route else []
            units = sorted(wanted[part.top.index])
            if not units:
                continue
            tally, kept = Tally(), list[Tensor]()
            for omega in self._omegas(part, route, mine, units, again):
                tally.add(omega, how.fence, how.zeros)
                if how.omegas:
                    _check_room(tally.images * omega[0].numel())
                    kept.append(omega.cpu())
            below = tuple(level.index for level in part.below)
            whole = torch.cat(kept) if how.omegas else None
            found.steps.append(Step(part.top.index, below, units, tally.counts.int(), whole))
            _take(found, part, units, tally, how.branching)
            for edge in found.edges:
                wanted[edge.below[0]].add(edge.below[1])
        return found

    def _omegas(
        self, part: Between, route: Channelwise | None, statistics: Sequence[Tensor], units: Sequence[int], again: Again
    ) -> Iterator[Tensor]:
        """The derivatives of the units by chunks of inputs: (rows, units, units below)."""
        if route is None:
            for values in again():
                yield self.one_by_one(part, values, units)
            return
        wanted = torch.tensor(units, device=statistics[0].device)
        rows = max(1, AT_ONCE // (len(units) * sum(level.units for level in part.below)))
        for chunk in zip(*(torch.split(one, rows) for one in statistics), strict=True):
            yield route.omega(chunk, wanted)

    def one_by_one(self, part: Between, values: Values, units: Sequence[int]) -> Tensor:
        """The derivatives of units at some inputs (rows, units, units below), by a walk back from each unit."""
        leaves = {level.index: values[level.index].detach().requires_grad_() for level in part.below}
        have: dict[int, Any] = {**{i: values[i] for i in part.reads}, **leaves}
        with torch.enable_grad():
            for node in part.nodes:
                have[node.index] = node.run(have)
            top = have[part.top.index]
            if self.probability and part.top.index == self.levels[-1].index:
                top = chances(self.model.card, top)
            means = part.top.by_unit(top * part.top.mean_start(top))
        rows = []
        for unit in units:
            slopes = torch.autograd.grad(
                means[:, unit].sum(), [*leaves.values()], retain_graph=True, allow_unused=True, materialize_grads=True
            )
            rows.append(torch.cat([level.by_unit(s) for level, s in zip(part.below, slopes, strict=True)], 1))
        return torch.stack(rows, 1)


def _check_room(numbers: int) -> None:
    """Raise InvalidParameter where the derivatives of one step would be too many to be kept."""
    if numbers > OMEGAS:
        raise InvalidParameter(
            f"the derivatives of one step are more than {OMEGAS} numbers; leave omegas out, or look at fewer images or "
            "with less branching",
            pointer="/method/omegas",
        )


def _take(found: Dependencies, part: Between, units: Sequence[int], tally: Tally, branching: int) -> None:
    """Add the most frequent outliers of a step to the graph."""
    columns: list[tuple[int, int]] = [(level.index, unit) for level in part.below for unit in range(level.units)]
    found.images = tally.images
    found.outliers[part.top.index] = float(tally.counts.sum()) / (tally.images * tally.counts.numel())
    for row, (unit, chosen) in enumerate(zip(units, tally.most_frequent(branching), strict=True)):
        for k in chosen:
            count = int(tally.counts[row, k])
            edge = Edge((part.top.index, unit), columns[k], count, float(tally.sums[row, k]) / count)
            found.edges.append(edge)
            found.frequency[edge.below] = max(found.frequency.get(edge.below, 0.0), count / tally.images)
