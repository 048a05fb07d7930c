"""Dropout switched on in an exported graph: each becomes a product with a mask of its own, drawn for every pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from workers.engine.compile.attention_dropout import noted
from workers.engine.compile.constants import Constants, add_constant
from workers.engine.compile.layer_names import Name
from workers.engine.compile.unroll import drops
from workers.engine.graph import ops
from workers.engine.graph.rows import of_sizes

WHOLE_CHANNELS = "feature_dropout"
KINDS = frozenset({"dropout", WHOLE_CHANNELS})


@dataclass(frozen=True, slots=True)
class Dropout:
    """One dropout: `node` is the name of the product that it became, `shape` that of its mask for one row's part."""

    node: str
    layer: str
    rate: float
    shape: tuple[int, ...]

    def drawn(self, source: torch.Generator) -> Tensor:
        """A mask (*shape): 0 where a value is dropped, else what makes up for those that are."""
        kept = torch.rand(self.shape, generator=source) >= self.rate
        return kept / max(1 - self.rate, 1e-12)


def has_dropout(program: ExportedProgram) -> bool:
    """Whether anything is dropped in training: by a call of its own, between recurrent layers, or in attention."""
    return any(_is_dropout(node) or drops(node) or noted(node) for node in program.graph.nodes)


def switch_on(graph: fx.Graph, constants: Constants, names: dict[fx.Node, Name], given: fx.Node) -> tuple[Dropout, ...]:
    """Turn every dropout into a product with a constant mask, for now of ones; the products keep the names.

    `given` is the input: a mask has the shape of what belongs to one of its rows (heads and windows too).
    """
    found = []
    for node in [each for each in graph.nodes if _is_dropout(each)]:
        source: Any = node.args[0]
        sizes, rows = of_sizes(node.meta["val"].shape, given.meta["val"].shape[0])
        if sizes is None:
            continue
        if ops.name(node) == WHOLE_CHANNELS:
            sizes = tuple(size if axis < 2 or axis == rows.axis else 1 for axis, size in enumerate(sizes))
        shape = rows.part(sizes)
        mask = add_constant(graph, constants, f"mask_{node.name}", torch.ones(()))
        with graph.inserting_before(node):
            product = graph.call_function(torch.ops.aten.mul.Tensor, (source, mask))
        product.meta = dict(node.meta)
        node.replace_all_uses_with(product)
        names[product] = names.pop(node)
        found.append(Dropout(product.name, names[product].layer, float(node.args[1]), shape))
        graph.erase_node(node)
    return tuple(found)


def drawn(dropouts: tuple[Dropout, ...], sources: list[torch.Generator]) -> Mapping[str, Tensor]:
    """By product a mask for each row (n, *shape): one pass's draws from each row's source."""
    rows = [[one.drawn(source) for one in dropouts] for source in sources]
    return {one.node: torch.stack([row[i] for row in rows]) for i, one in enumerate(dropouts)}


def _is_dropout(node: fx.Node) -> bool:
    """Whether the call drops values in training."""
    return ops.name(node).removesuffix("_") in KINDS and bool(node.args[1])
