"""Row independence: whether what a model says of a row depends on the other rows of a pass, and which values are whose.

Looked at once, when the model is loaded. Three rows are run, and run again with one of them replaced: what moves is
that row's. So the order of rows in an axis that they share with windows or frames is found, which no symbol says. Where
other rows' values move, too, or a row alone comes to another output or slope, the model is run a row at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from workers.engine.compile.program import Compiled
from workers.engine.device import out_of_memory
from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node, is_float
from workers.engine.graph.rows import WHOLE, Rows
from workers.explanation.errors import InvalidFolder

log = logging.getLogger(__name__)
Range = tuple[Tensor, Tensor]
CASTS = frozenset({"to", "_to_copy", "type_as"})
ROWS = 3
SLOPE = 1e-2  # of all slopes: by less do those of a row alone and in company differ where kinks are met


class Mixed(Exception):
    """The rows of a pass depend on each other; its text says where."""


def settle(compiled: Compiled, like: Tensor, bounds: Range | None) -> Compiled:
    """The graphs with the rows of every value known, or marked to be run a row at a time.

    `like` is a row (1, *shape), whose values do not matter. Raises InvalidFolder for a model that takes no row alone.
    """
    same = compiled.folded is compiled.exported
    if compiled.exported.alone:
        exported = _measured(compiled.exported, like)
        folded = exported if same else _measured(compiled.folded, like)
        return replace(compiled, exported=exported, folded=folded)
    tokens = _alone(compiled.exported, like)
    several = compiled.spec is not None and compiled.spec.parts
    draws = _Draws(like, bounds, None if several else tokens, columns_of_ids(compiled))
    try:
        exported = _settled(compiled.exported, draws)
        folded = exported if same else _ordered(compiled.folded, draws)
        _compare(exported, draws)
    except Exception as error:
        if out_of_memory(error):
            raise
        log.warning("this model is run a row at a time: %s", str(error).partition("\n")[0])
        _check_alone(compiled.exported, draws, str(error).partition("\n")[0])
        exported = replace(compiled.exported, alone=True)
        folded = exported if same else replace(compiled.folded, alone=True)
    return replace(compiled, exported=exported, folded=folded)


class _Draws:
    """Rows that the model can take: numbers of both signs and of its range, or of tokens those that it has."""

    def __init__(
        self, like: Tensor, bounds: Range | None, tokens: int | None, ids: Sequence[tuple[slice, int]] = ()
    ) -> None:
        self.like, self.bounds, self.tokens, self.ids = like, bounds, tokens, ids
        self.generator = torch.Generator().manual_seed(0)

    def __iter__(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Which row differs between two batches, and these."""
        for draw, row in ((self._normal, 0), (self._within, ROWS - 1)):
            one = draw(ROWS + 1).to(self.like)
            for at, count in self.ids:
                one[:, at] = torch.randint(count, one[:, at].shape, generator=self.generator).to(self.like)
            other = one[:ROWS].clone()
            other[row] = one[ROWS]
            yield row, one[:ROWS], other

    def _normal(self, count: int) -> Tensor:
        if self.tokens is not None:
            return self._within(count)
        return torch.randn(count, *self.like.shape[1:], generator=self.generator)

    def _within(self, count: int) -> Tensor:
        shape = count, *self.like.shape[1:]
        if self.tokens is not None:
            return torch.randint(self.tokens, shape, generator=self.generator).float()
        share = torch.rand(shape, generator=self.generator)
        if self.bounds is None:
            return share
        low, high = (bound.cpu().float() for bound in self.bounds)
        return low + (high - low) * share


def columns_of_ids(compiled: Compiled) -> list[tuple[slice, int]]:
    """Where whole numbers lie among inputs end to end, and below what they stay."""
    parts = compiled.spec.parts if compiled.spec else ()
    return [
        (slice(part.start, part.stop), compiled.tables[part.name])
        for part in parts
        if part.name in compiled.tables and not part.embedding
    ]


def _alone(graph: Graph, row: Tensor) -> int | None:
    """Run one row of zeros; says how many tokens the input may name where it names any.

    Raises InvalidFolder, with torch's own words, where the model does not take it.
    """
    named, tables = False, []
    for node, value in _run_alone(graph, row):
        if isinstance(value, Tensor) and node.op in CASTS and not value.is_floating_point():
            named = True
        if (table := _table(node)) is not None:
            tables.append(table)
    return min(tables, default=2) if named else None


def _measured(graph: Graph, row: Tensor) -> Graph:
    """The graph of a program for batches of one size, with the sizes that its values have of one row."""
    nodes = list(graph.nodes)
    for node, value in _run_alone(graph, row):
        if isinstance(value, Tensor) and value.is_floating_point():
            sizes = tuple(value.shape)
            rows = Rows(0, 1, sizes[0]) if sizes else WHOLE
            nodes[node.index] = replace(node, sizes=sizes, shape=sizes[1:], rows=rows)
    return replace(graph, nodes=tuple(nodes))


def _run_alone(graph: Graph, row: Tensor) -> Iterator[tuple[Node, Any]]:
    try:
        with torch.no_grad():
            for node, (value,) in graph.each([row]):
                yield node, value
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InvalidFolder(
            f"the model does not run on one input alone: {str(error).strip().partition(chr(10))[0][:200]}; export it "
            "in evaluation mode and for any number of inputs, as whence export does"
        ) from None


def _table(node: Node) -> int | None:
    """The length of the constant that a node looks up in, None of a node that does not."""
    table = node.args[0] if node.args else None
    if not isinstance(table, Tensor) or node.op not in ops.EMBEDDING | {"index", "index_select", "gather"}:
        return None
    axis = node.args[1] if node.op in {"index_select", "gather"} else 0
    return int(table.shape[axis])


def _check_alone(graph: Graph, draws: _Draws, why: str) -> None:
    """Raise InvalidFolder where the model says the same of every row alone, or no number."""
    for _, rows, _ in draws:
        one, other, _ = (_sloped(graph, row, 0) for row in torch.split(rows, 1))
        if not one[0].isnan().all() and (not torch.equal(one[0], other[0]) or one[1].any()):
            return
    raise InvalidFolder(
        f"what the model says of an input hangs on the others of its batch ({why}), and alone it says the same of "
        "every input, or no number; export it with statistics of its own"
    )


def _settled(graph: Graph, draws: _Draws) -> Graph:
    """The graph with the order of rows in merged axes; raises Mixed, naming the node that mixes them."""
    known: dict[int, list[Rows]] = {}
    depends = graph.depending()
    for row, one, other in draws:
        with torch.no_grad():
            for node, (before, after) in graph.each([one, other]):
                if isinstance(before, Tensor) and depends[node.index]:
                    fits = known.get(node.index) or list(node.rows.orders())
                    known[node.index] = _fitting(node, fits, _moved(before, after), row)
    nodes = (replace(node, rows=known[node.index][0]) if node.index in known else node for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def _ordered(graph: Graph, draws: _Draws) -> Graph:
    """The graph of a function whose rows are known not to mix, with the order of rows in merged axes."""
    clear = all(node.rows.axis is not None and node.rows.count == 1 for node in graph.nodes)
    return graph if clear else _settled(graph, draws)


def _moved(before: Tensor, after: Tensor) -> Tensor | None:
    """Where a value differs, None where its shape does."""
    if before.shape != after.shape:
        return None
    if not is_float(before):
        return torch.ne(before, after)
    rounding = torch.finfo(before.dtype).eps ** 0.75 * before.abs().nan_to_num(0.0, 0.0, 0.0).max()
    moved: Tensor = (before - after).abs() > rounding
    return moved | (before.isnan() != after.isnan())


def _fitting(node: Node, orders: Sequence[Rows], moved: Tensor | None, row: int) -> list[Rows]:
    """The orders of rows by which nothing moved but what belongs to one of them; raises Mixed where there is none."""
    if moved is not None and not moved.any():
        return list(orders)
    axis = orders[0].axis
    if moved is None or axis is None or moved.dim() <= axis or moved.shape[axis] != ROWS * orders[0].count:
        raise Mixed(f"{node.layer} ({node.op}) has no axis of its own for the rows of a batch")
    places = {int(i) for i in moved.movedim(axis, 0).reshape(moved.shape[axis], -1).any(1).nonzero()}
    fitting = [rows for rows in orders if places <= set(rows.of_row(row, ROWS))]
    if not fitting:
        raise Mixed(f"{node.layer} ({node.op}) mixes the rows of a batch")
    return fitting


def _compare(graph: Graph, draws: _Draws) -> None:
    """Raise Mixed where the output or the slopes of a row are others alone than in company."""
    for row, rows, _ in draws:
        lone, both = _sloped(graph, rows[row : row + 1], 0), _sloped(graph, rows, row)
        if lone[0].shape != both[0].shape or _apart(lone[0], both[0]) > torch.finfo(rows.dtype).eps ** 0.5:
            raise Mixed("its output for a row is another in company")
        own = torch.arange(ROWS, device=rows.device) == row
        if _apart(lone[1], both[1][own]) > SLOPE or both[1][~own].nan_to_num(0.0, 0.0, 0.0).any():
            raise Mixed("its slopes for a row are others in company")


def _sloped(graph: Graph, rows: Tensor, row: int) -> tuple[Tensor, Tensor]:
    """The output of a row, and the slope of a sum of it at all rows."""
    x = rows.detach().requires_grad_()
    with torch.enable_grad():
        output = graph.run(x)[0][row : row + 1]
        weights = torch.linspace(0.5, 1.5, output.numel(), dtype=output.dtype, device=output.device)
        total = (output * weights.view_as(output)).sum()
    if not total.requires_grad:
        return output.detach(), torch.zeros_like(rows)
    slope = torch.autograd.grad(total, x, allow_unused=True, materialize_grads=True)[0]
    return output.detach(), slope


def _apart(one: Tensor, other: Tensor) -> float:
    """By how much two values differ, of the size of both; nan says nothing."""
    gap = (one - other).abs().nan_to_num(0.0).sum()
    size = one.abs().nan_to_num(0.0).sum() + other.abs().nan_to_num(0.0).sum()
    return float(gap / size) if size > 0 else 0.0
