"""How much relevance each layer is given and hands on: where it was lost is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workers.engine.graph.rows import PLAIN, Rows, by_row
from workers.engine.graph.tape import Flow, Local
from workers.engine.rules.linear import is_positive, total
from workers.engine.rules.matching import is_linear

LOST = 1e-5  # of the relevance at a node: less is rounding


@dataclass
class _Total:
    """Relevance at a node, its sum by row, and that of its magnitudes once somebody asked."""

    values: Tensor
    rows: Rows
    sum: Tensor
    size: Tensor | None = None


class Held:
    """Watches a walk and sums, for every layer with weights and every row, the relevance given and handed on.

    Of the other nodes those that absorbed relevance of the row, or made some, are told too. What one node hands on is
    mostly what another is given, and summed once.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[str, bool, Tensor, Tensor, Tensor]] = []
        self._handed: dict[int, _Total] = {}  # what a node was handed last
        self._signed = False  # whether relevance was negative anywhere yet

    def watch(self, local: Local, relevance: Flow, parts: Sequence[Tensor | None]) -> None:
        flows = [relevance] if isinstance(relevance, Tensor) else list(relevance.values())
        rows = local.node.rows if isinstance(relevance, Tensor) else PLAIN
        last = self._handed.pop(local.node.index, None)
        each = zip(local.inputs, parts, local.reads, strict=True)
        there = [(i, part, read) for i, part, read in each if part is not None]
        if not there or (len(flows) > 1 and not all(read.plain for *_, read in there)):
            return
        given = [last if last and last.values is flow else _Total(flow, rows, by_row(flow, rows)) for flow in flows]
        handed = []
        for i, part, read in there:
            same = next((one for one in given if one.values is part and one.rows == read), None)
            self._handed[i] = same or _Total(part, read, by_row(part, read))
            handed.append(self._handed[i].sum)
        if len({one.shape for one in (*(one.sum for one in given), *handed)}) == 1 and handed[0].dim():
            size = total(self._size(one) for one in given)
            self._sums.append(
                (local.node.layer, is_linear(local.node), total(g.sum for g in given), total(handed), size)
            )

    def _size(self, flow: _Total) -> Tensor:
        """The sum of the magnitudes by row, which is the sum where nothing was negative yet."""
        if flow.size is None:
            self._signed = self._signed or not is_positive(flow.values)
            flow.size = by_row(flow.values.abs(), flow.rows) if self._signed else flow.sum
        return flow.size

    def rows(self, count: int) -> list[list[dict[str, Any]]]:
        """For each row, {layer, given, handed, absolute} from the output down to the input.

        `absolute` is the sum of the magnitudes of what is given (S4 eq. 13.4).
        """
        table = [
            (layer, weighted, given.tolist(), handed.tolist(), size.tolist())
            for layer, weighted, given, handed, size in self._sums
            if weighted or len(given) == len(handed) == count
        ]
        return [
            [
                {"layer": layer, "given": g[i], "handed": h[i], "absolute": size[i]}
                for layer, weighted, g, h, size in table
                if weighted or abs(g[i] - h[i]) > LOST * size[i]
            ]
            for i in range(count)
        ]
