"""Dropout switched on in an exported graph: each becomes a product with a mask of its own, drawn for every pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from workers.engine import ops
from workers.engine.attention import noted
from workers.engine.constants import Constants, add_constant
from workers.engine.naming import Name
from workers.engine.recurrent import drops

WHOLE_CHANNELS = "feature_dropout"
KINDS = frozenset({"dropout", WHOLE_CHANNELS})


@dataclass(frozen=True, slots=True)
class Dropout:
    """One dropout: `node` is the name of the product that it became, `shape` that of its mask for one row."""

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

    `given` is the input: where a value has several rows for each of its rows (heads, windows), so has the mask.
    """
    found = []
    for node in [each for each in graph.nodes if _is_dropout(each)]:
        source: Any = node.args[0]
        shape = tuple(node.meta["val"].shape[1:])
        if ops.name(node) == WHOLE_CHANNELS:
            shape = (shape[0], *[1] * (len(shape) - 1))
        several = _rows(node, given)
        shape = shape if several == 1 else (several, *shape)
        mask = add_constant(graph, constants, f"mask_{node.name}", torch.ones(1, *shape))
        sizes = list(node.meta["val"].shape[1:])
        with graph.inserting_before(node):
            if several > 1:
                source = graph.call_function(torch.ops.aten.reshape.default, (source, [-1, several, *sizes]))
            product = result = graph.call_function(torch.ops.aten.mul.Tensor, (source, mask))
            if several > 1:
                result = graph.call_function(torch.ops.aten.reshape.default, (product, [-1, *sizes]))
        for made in {source, product, result} - {node.args[0]}:
            made.meta = dict(node.meta)
        node.replace_all_uses_with(result)
        names[product] = names.pop(node)
        found.append(Dropout(product.name, names[product].layer, float(node.args[1]), shape))
        graph.erase_node(node)
    return tuple(found)


def drawn(dropouts: tuple[Dropout, ...], sources: list[torch.Generator]) -> Mapping[str, Tensor]:
    """By product a mask for each row (n, *shape): one pass's draws from each row's source."""
    rows = [[one.drawn(source) for one in dropouts] for source in sources]
    return {one.node: torch.stack([row[i] for row in rows]) for i, one in enumerate(dropouts)}


def _rows(node: fx.Node, given: fx.Node) -> int:
    """How many rows of a call's value belong to one of the input's, as windows or heads may lie in the first axis."""
    one, other = node.meta["val"].shape[0], given.meta["val"].shape[0]
    ratio = getattr(getattr(one, "node", None), "expr", one) / getattr(getattr(other, "node", None), "expr", other)
    return max(1, int(ratio)) if ratio == int(ratio) else 1


def _is_dropout(node: fx.Node) -> bool:
    """Whether the call drops values in training, and of a shape that is known."""
    if ops.name(node).removesuffix("_") not in KINDS or not node.args[1]:
        return False
    return all(isinstance(size, int) for size in node.meta["val"].shape[1:])
