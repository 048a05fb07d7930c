"""How much relevance each layer is given and hands on: where it was lost is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from workers.engine.matching import is_linear
from workers.engine.tape import Flow, Local

LOST = 1e-5  # of the relevance at a node: less is rounding


class Held:
    """Watches a walk and sums, for every layer with weights and every row, the relevance given and handed on.

    Of the other nodes those that absorbed relevance of the row, or made some, are told too.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[str, bool, Tensor, Tensor, Tensor]] = []

    def watch(self, local: Local, relevance: Flow, parts: Sequence[Tensor | None]) -> None:
        flows = [relevance] if isinstance(relevance, Tensor) else list(relevance.values())
        there = [part for part in parts if part is not None]
        if there and len({len(values) for values in (*flows, *there) if values.dim()}) == 1:
            given, handed = (sum(map(by_row, some[1:]), by_row(some[0])) for some in (flows, there))
            size = sum((by_row(flow.abs()) for flow in flows[1:]), by_row(flows[0].abs()))
            self._sums.append((local.node.layer, is_linear(local.node), given, handed, size))

    def rows(self, count: int) -> list[list[dict[str, Any]]]:
        """For each row, {layer, given, handed} from the output down to the input."""
        table = [
            (layer, weighted, given.tolist(), handed.tolist(), size.tolist())
            for layer, weighted, given, handed, size in self._sums
            if weighted or len(given) == len(handed) == count
        ]
        return [
            [
                {"layer": layer, "given": g[i], "handed": h[i]}
                for layer, weighted, g, h, size in table
                if weighted or abs(g[i] - h[i]) > LOST * size[i]
            ]
            for i in range(count)
        ]


def by_row(values: Tensor) -> Tensor:
    """The sum of each row."""
    return values.flatten(1).sum(1) if values.dim() > 1 else values
