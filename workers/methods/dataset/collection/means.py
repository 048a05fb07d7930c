"""Mean maps by class: of each input the mean of the maps that items of the class have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEANS_BYTES = 16 * 2**20  # of all mean maps together: classes that come later have none


@dataclass
class Means:
    """The sums of maps by class and name of the map, and how many items each class has a sum of."""

    sums: dict[int, dict[str, NDArray[np.float64]]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, group: int, maps: Mapping[str, NDArray[Any]]) -> None:
        """The maps of one item by name; one whose shapes are others than the first's of its class is left out."""
        if group not in self.sums:
            size = sum(values.nbytes for values in maps.values())
            if size * 2 * (len(self.sums) + 1) > MEANS_BYTES:
                return
            self.sums[group] = {name: np.zeros(values.shape) for name, values in maps.items()}
            self.counts[group] = 0
        sums = self.sums[group]
        if {name: total.shape for name, total in sums.items()} == {name: one.shape for name, one in maps.items()}:
            for name, values in maps.items():
                sums[name] += values
            self.counts[group] += 1

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """`means` (classes, *map), or `means.NAME` of several inputs; none of what has maps of several shapes."""
        groups = sorted(self.sums)
        names = dict.fromkeys(name for sums in self.sums.values() for name in sums)
        found = {}
        for name in names:
            maps = [self.sums[group].get(name) for group in groups]
            if len({None if one is None else one.shape for one in maps}) == 1:
                counts = [max(1, self.counts[group]) for group in groups]
                means = [total / count for total, count in zip(maps, counts, strict=True) if total is not None]
                found["means" + name[len(name.partition(".")[0]) :]] = np.stack(means).astype(np.float32)
        return found or {"means": np.zeros((0, 1), np.float32)}

    def kept(self) -> dict[str, NDArray[Any]]:
        """All that another worker needs."""
        sums = {f"sum {group} {name}": one for group, sums in self.sums.items() for name, one in sums.items()}
        return {**sums, **{f"count {group}": np.array([count]) for group, count in self.counts.items()}}

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """What `kept` gave."""
        self.counts = {int(key[6:]): int(one[0]) for key, one in kept.items() if key.startswith("count ")}
        self.sums = {group: {} for group in self.counts}
        for key, one in kept.items():
            if key.startswith("sum "):
                _, group, name = key.split(" ", 2)
                self.sums[int(group)][name] = np.array(one)
