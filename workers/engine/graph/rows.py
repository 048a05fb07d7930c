"""Rows: where a value keeps what belongs to each row of a batch.

Most values have the batch as their first axis. Others merge it with windows, frames, heads or channels, or have it
behind the steps of a sequence; the exported symbol of a size says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """The axis that counts rows, of the size outer * rows * inner; None of a value that is one row's as a whole."""

    axis: int | None = 0
    outer: int = 1
    inner: int = 1

    @property
    def plain(self) -> bool:
        """Whether the first axis is the batch and nothing else."""
        return self == PLAIN

    def split(self, value: Tensor) -> Tensor:
        """The value by row, (n, *part): a view of its memory."""
        if self.axis is None:
            return value.unsqueeze(0)
        if self.plain:
            return value
        before, after = value.shape[: self.axis], value.shape[self.axis + 1 :]
        apart = value.view(*before, self.outer, value.shape[self.axis] // self.count, self.inner, *after)
        first: Tensor = apart.movedim(self.axis + 1, 0)
        for at, size in ((self.axis + 2, self.inner), (self.axis + 1, self.outer)):
            first = first.squeeze(at) if size == 1 else first
        return first

    def join(self, parts: Tensor) -> Tensor:
        """The value whose rows are these, (n, *part)."""
        if self.axis is None:
            return parts.squeeze(0)
        if self.plain:
            return parts
        for at, size in ((self.axis + 1, self.outer), (self.axis + 2, self.inner)):
            parts = parts.unsqueeze(at) if size == 1 else parts
        return parts.movedim(0, self.axis + 1).flatten(self.axis, self.axis + 2)

    @property
    def count(self) -> int:
        """How much of the axis belongs to each row."""
        return self.outer * self.inner

    def part(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """The shape of a row's part, of a value that for one row has these sizes."""
        if self.axis is None:
            return tuple(sizes)
        merged = tuple(size for size in (self.outer, self.inner) if size > 1)
        return (*sizes[: self.axis], *merged, *sizes[self.axis + 1 :])

    def own(self, axis: int) -> int | None:
        """The value's own axis that an axis of a row's part is; None of one that was merged with the rows."""
        if self.axis is None or axis < self.axis:
            return axis
        merged = (self.outer > 1) + (self.inner > 1)
        return None if axis < self.axis + merged else axis - merged + 1

    def orders(self) -> Iterator[Rows]:
        """The ways to lie in an axis of this size: rows first, then rows last, then between."""
        count = self.count
        for outer in sorted((d for d in range(1, count + 1) if count % d == 0), key=lambda d: (d not in (1, count), d)):
            yield Rows(self.axis, outer, count // outer)

    def of_row(self, row: int, count: int) -> list[int]:
        """The places of the axis that are a row's, of so many rows."""
        return [(o * count + row) * self.inner + i for o in range(self.outer) for i in range(self.inner)]


PLAIN = Rows()
WHOLE = Rows(None)


def of_sizes(
    sizes: Sequence[int | torch.SymInt] | None, batch: int | torch.SymInt
) -> tuple[tuple[int, ...] | None, Rows]:
    """The sizes of a value for one row, and where its rows are, by the symbol that counts the batch.

    A size is one row's, or a multiple of the rows; what has no such size or several is WHOLE. Where rows lie in a
    merged axis no symbol says: they are taken to be first. Of a program for one row, the first axis has its row.
    """
    if sizes is None:
        return None, PLAIN
    at_one, at_two = ([_at(size, batch, rows) for size in sizes] for rows in (1, 2))
    if None in at_one or None in at_two:
        return None, WHOLE
    one, two = cast("list[int]", at_one), cast("list[int]", at_two)
    if isinstance(batch, int):
        return tuple(one), Rows(0, 1, one[0]) if one else WHOLE
    counting = [axis for axis, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
    if len(counting) != 1 or two[counting[0]] != 2 * one[counting[0]]:
        return tuple(one), WHOLE
    return tuple(one), Rows(counting[0], 1, one[counting[0]])


def _at(size: int | torch.SymInt, batch: int | torch.SymInt, rows: int) -> int | None:
    """A size where the batch has so many rows; None of one that depends on more."""
    if isinstance(size, int):
        return size
    if isinstance(batch, int):
        return None
    found = size.node.expr.subs(batch.node.expr, rows)
    return int(found) if found.is_number else None


def by_row(values: Tensor, rows: Rows = PLAIN) -> Tensor:
    """The sum of what belongs to each row, (n,)."""
    values = rows.split(values)
    others = tuple(range(1, values.dim()))
    return values.sum(others) if others else values  # flattened, maps whose channels lie last would be copied


def shares(values: Tensor, rows: Rows = PLAIN) -> Tensor:
    """The values as shares of the sum of each row; where that is below 1, of 1."""
    parts = rows.split(values)
    return rows.join(parts / by_row(parts).clamp(min=1).view(-1, *[1] * (parts.dim() - 1)))
