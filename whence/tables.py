"""A .csv as numbers: a line for each input."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABEL = "label"
SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Columns:
    """What a model's columns are called, which words some of them may be, and the names of its classes."""

    names: Sequence[str] = ()
    categories: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    classes: Sequence[str] = ()


def columns_of(model: Mapping[str, Any]) -> Columns:
    """From a model's document."""
    given = model.get("input") or {}
    return Columns(given.get("names") or (), given.get("categories") or {}, model.get("classes") or ())


def read_table(path: Path, columns: Columns | None = None) -> tuple[NDArray[np.float64], list[int] | None]:
    """Numbers by line, and the column `label`, if there is one. A first line that is no numbers is the head.

    Where the head has the model's names, its columns may come in any order, with others among them. Between cells is a
    comma, a semicolon (then a number may have a decimal comma) or a tab. Raises ValueError.
    """
    columns = columns or Columns()
    with path.open(newline="", encoding="utf-8-sig") as file:
        text = file.read()
    separator = max(SEPARATORS, key=text.partition("\n")[0].count)
    lines = [
        line for line in csv.reader(text.splitlines(keepends=True), delimiter=separator) if any(map(str.strip, line))
    ]
    if not lines:
        raise ValueError(f"{path} is empty")
    decimal = "," if separator == ";" else "."
    named = any(cell.strip() in columns.names for cell in lines[0])
    titled = named or any(_number(cell, decimal) is None for cell in lines[0])
    head = [cell.strip() for cell in lines.pop(0)] if titled else None
    if not lines:
        raise ValueError(f"{path} has a head and no lines below it")
    label = head.index(LABEL) if head and LABEL in head and LABEL not in columns.names else None
    taken = _places(path, head, columns.names) if head and named else [at for at in range(len(lines[0])) if at != label]
    words = [[str(word) for word in columns.categories.get(head[at] if head else "", ())] for at in taken]
    rows, labels = [], []
    for number, line in enumerate(lines, 1 + titled):
        if len(line) != len(head or lines[0]):
            raise ValueError(
                f"{path}, line {number}: it has {len(line)} cells, where the first line has {len(head or lines[0])}"
            )
        values = [_value(line[at], known, decimal) for at, known in zip(taken, words, strict=True)]
        if None in values:
            at = taken[values.index(None)]
            raise ValueError(f"{path}, line {number}: {line[at]!r} of {_called(head, at)} is no number")
        rows.append(values)
        labels.append(_label(path, number, line[label], columns.classes) if label is not None else 0)
    return np.array(rows, np.float64), labels if label is not None else None


def _called(head: Sequence[str] | None, at: int) -> str:
    return f"the column {head[at]}" if head else f"the column number {at + 1}"


def _places(path: Path, head: Sequence[str], names: Sequence[str]) -> list[int]:
    """Where in the head each of the model's columns is."""
    for name in names:
        if head.count(name) != 1:
            found = "no column" if name not in head else "more than one column"
            raise ValueError(f"{path} has {found} {name}; the model takes {', '.join(names)}")
    return [head.index(name) for name in names]


def _value(cell: str, words: Sequence[str], decimal: str) -> float | None:
    """A number, or the place of a word among those that its column may be."""
    return float(words.index(cell.strip())) if cell.strip() in words else _number(cell, decimal)


def _label(path: Path, number: int, cell: str, classes: Sequence[str]) -> int:
    """A class by its name or its index."""
    word = cell.strip()
    if word in classes:
        return classes.index(word)
    if not word.isdecimal():
        known = f"one of {', '.join(classes[:5])}{' ...' if len(classes) > 5 else ''}, or " if classes else ""
        raise ValueError(f"{path}, line {number}: the label {word!r} is no class; it may be {known}a class's number")
    return int(word)


def _number(cell: str, decimal: str) -> float | None:
    try:
        return float(cell.replace(decimal, "."))
    except ValueError:
        return None
