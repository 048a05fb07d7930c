"""Tables: rows of named columns, some of them categories, as people write them and as a model takes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder, InvalidTensor
from workers.explanation.names.spelling import meant

MOST_BACKGROUND = 10_000  # rows
MOST_BYTES = 64 * 2**20
WHOLE = 2**24  # below which every whole number is a float32 of its own


def row_of(values: Sequence[Any], names: Sequence[str], spec: InputSpec, pointer: str) -> NDArray[np.float32]:
    """The row (columns,) of values under these names, in any order: texts become their places among the categories.

    Raises InvalidTensor, which names the column.
    """
    if len(values) != len(names):
        raise InvalidTensor(f"the row has {len(values)} values and there are {len(names)} columns", pointer=pointer)
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise InvalidTensor(f"the column {twice!r} is there twice", pointer=pointer)
    given = dict(zip(names, values, strict=True))
    missing = [name for name in spec.names if name not in given]
    if missing:
        raise InvalidTensor(
            f"the columns {_some(missing)} are missing; the model takes {_some(spec.names)}", pointer=pointer
        )
    if unknown := [name for name in given if name not in spec.names]:
        raise InvalidTensor(f"there is no column {_some(unknown)}; {meant(unknown[0], spec.names)}", pointer=pointer)
    return np.array([number(given[name], name, spec, pointer) for name in spec.names], np.float32)


def number(value: Any, name: str, spec: InputSpec, pointer: str) -> float:
    """A value of a column as the model takes it; raises InvalidTensor."""
    known = spec.categories.get(name)
    if known is not None and any(isinstance(one, str) for one in known):
        if value is None or str(value) not in known:
            raise InvalidTensor(f"{name} has the values {_some(known)}; this is none of them", pointer=pointer)
        return float(known.index(str(value)))
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not abs(found) <= float(np.finfo(np.float32).max):
        raise InvalidTensor(f"{name} should be a finite number; values may not be missing", pointer=pointer)
    if known is not None and found not in known:
        raise InvalidTensor(f"{name} has the values {_some(known)}; this is none of them", pointer=pointer)
    return found


def check_row(row: NDArray[np.float32], spec: InputSpec, pointer: str) -> None:
    """Raise InvalidTensor where a row given in numbers holds a category that is not there, or is of ids and holds none.

    Ids come as float32, as all input does, in which whole numbers from WHOLE on run into each other.
    """
    if spec.dtype == "int64" and not (np.equal(row, np.round(row)) & (np.abs(row) < WHOLE)).all():
        raise InvalidTensor(f"this input is of ids, which are whole numbers below {WHOLE}", pointer=pointer)
    for name, known in spec.categories.items():
        value, words = float(row[spec.names.index(name)]), isinstance(known[0], str)
        if value not in (range(len(known)) if words else known):
            right = f"one of 0 to {len(known) - 1}, which stand for {_some(known)}" if words else _some(known)
            raise InvalidTensor(f"{name} is no category; it should be {right}", pointer=pointer)


def written(row: NDArray[Any], spec: InputSpec) -> list[str | float]:
    """The values of a row as people write them."""
    found: list[str | float] = []
    for name, value in zip(spec.names, row.tolist(), strict=True):
        known = spec.categories.get(name, ())
        text = known[int(value)] if any(isinstance(one, str) for one in known) else float(str(np.float32(value)))
        found.append(text)
    return found


def rows_of_csv(text: str, spec: InputSpec, pointer: str, most: int) -> NDArray[np.float32]:
    """The rows (n, columns) of CSV (RFC 4180), whose first line names the columns; raises InvalidTensor."""
    head = text.lstrip("\ufeff").partition("\n")[0]
    other = "semicolons" if ";" in head else "tabs" if "\t" in head else None
    if other is not None and "," not in head:
        said = f"{other} stand between the columns; CSV has commas there, and a point in numbers"
        raise InvalidTensor(said, pointer=pointer)
    try:
        lines = [line for line in csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True) if line]
    except csv.Error as error:
        raise InvalidTensor(f"this is no CSV: {error}", pointer=pointer) from None
    if len(lines) < 2:
        raise InvalidTensor("CSV has a line with the names of the columns, and a line for each row", pointer=pointer)
    if len(lines) - 1 > most:
        raise InvalidTensor(f"there are {len(lines) - 1} rows, and {most} is the most", pointer=pointer)
    names = [name.strip() for name in lines[0]]
    return np.stack([row_of([value.strip() for value in line], names, spec, pointer) for line in lines[1:]])


def rows_of_split(split: Mapping[str, Any], spec: InputSpec, pointer: str, most: int) -> NDArray[np.float32]:
    """The rows of pandas' `to_dict(orient="split")`: {columns, data}, an index beside them or not."""
    names, data = split.get("columns"), split.get("data")
    if not isinstance(names, list) or not all(type(name) in (str, int) for name in names):
        raise InvalidTensor("columns should be a list of names", pointer=f"{pointer}/columns")
    names = [str(name) for name in names]  # a frame without names of its own numbers its columns
    if not isinstance(data, list) or not data or not all(isinstance(row, list) for row in data):
        raise InvalidTensor("data should be a list of rows, each a list of values", pointer=f"{pointer}/data")
    if len(data) > most:
        raise InvalidTensor(f"there are {len(data)} rows, and {most} is the most", pointer=f"{pointer}/data")
    return np.stack([row_of(row, names, spec, f"{pointer}/data/{at}") for at, row in enumerate(data)])


def read_background(file: Path, spec: InputSpec, where: str) -> NDArray[np.float32]:
    """The rows of a background; raises InvalidFolder, which names the file."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InvalidFolder(f"{where}: it is larger than {MOST_BYTES} bytes")
        return rows_of_csv(data.decode(), spec, "", MOST_BACKGROUND)
    except UnicodeDecodeError:
        raise InvalidFolder(f"{where}: it is not UTF-8 text; it should be CSV with the names of the columns") from None
    except InvalidTensor as error:
        raise InvalidFolder(f"{where}: {error.detail}") from None


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:12])
    return shown if len(values) <= 12 else f"{shown}, … ({len(values)})"
