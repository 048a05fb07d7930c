"""How much relevance each layer is given and hands on: where it was lost is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.rows import PLAIN, by_row
from workers.engine.graph.tape import Flow, Local
from workers.engine.rules.matching import is_linear

LOST = 1e-5  # of the relevance at a node: less is rounding


class Held:
    """Watches a walk and sums, for every layer with weights and every row, the relevance given and handed on.

    Of the other nodes those that absorbed relevance of the row, or made some, are told too.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[str, bool, Tensor, Tensor, Tensor]] = []

    def watch(self, local: Local, relevance: Flow, parts: Sequence[Tensor | None]) -> None:
        there = [(part, rows) for part, rows in zip(parts, local.reads, strict=True) if part is not None]
        if isinstance(relevance, Tensor):
            flows = [(relevance, local.node.rows)]
        else:
            flows = [(part, PLAIN) for part in relevance.values()]
        if not there or (len(flows) > 1 and not all(rows.plain for _, rows in there)):
            return
        sums, back = [by_row(*flow) for flow in flows], [by_row(*part) for part in there]
        if len({one.shape for one in (*sums, *back)}) == 1 and sums[0].dim():
            size = torch.stack([by_row(flow.abs(), rows) for flow, rows in flows]).sum(0)
            given, handed = torch.stack(sums).sum(0), torch.stack(back).sum(0)
            self._sums.append((local.node.layer, is_linear(local.node), given, handed, size))

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
