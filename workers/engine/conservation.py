"""How much relevance each layer is given and hands on: where it was lost is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from workers.engine.composites import is_linear
from workers.engine.tape import Flow, Local


class Held:
    """Watches a walk and sums, for every layer with weights and every row, the relevance given and handed on."""

    def __init__(self) -> None:
        self._sums: list[tuple[str, Tensor, Tensor]] = []

    def watch(self, local: Local, relevance: Flow, parts: Sequence[Tensor | None]) -> None:
        if is_linear(local.node) and isinstance(relevance, Tensor) and parts[0] is not None:
            self._sums.append((local.node.layer, by_row(relevance), by_row(parts[0])))

    def rows(self, count: int) -> list[list[dict[str, Any]]]:
        """For each row, {layer, given, handed} from the output down to the input."""
        table = [(layer, given.tolist(), handed.tolist()) for layer, given, handed in self._sums]
        return [[{"layer": layer, "given": g[i], "handed": h[i]} for layer, g, h in table] for i in range(count)]


def by_row(values: Tensor) -> Tensor:
    """The sum of each row."""
    return values.flatten(1).sum(1) if values.dim() > 1 else values
