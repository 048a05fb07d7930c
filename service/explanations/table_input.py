"""Rows of tables as their people send them: CSV, pandas' split, or one value by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.contract import InputSpec, InvalidTensor, row_of, rows_of_csv, rows_of_split, spoken


def row_of_text(data: bytes, spec: InputSpec, pointer: str) -> NDArray[Any]:
    """The one row of CSV with a line of names; raises InvalidTensor."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InvalidTensor(
            "the model takes a row of a table, and these bytes are no text: send CSV in UTF-8, a line of names and a "
            "line of values, or an .npy file, or JSON",
            pointer=pointer,
        ) from None
    (row,) = rows_of_csv(text, spec, pointer, 1)
    return np.asarray(row)


def row_of_json(raw: Mapping[str, Any], spec: InputSpec, pointer: str) -> NDArray[Any]:
    """The row of {columns, data} with one row in data, or of an object with a value for each column."""
    if spec.kind != "table":
        raise InvalidTensor(f"the model takes {taken(spec)}, not a table", pointer=pointer)
    if "columns" in raw and "data" in raw and not {"columns", "data"} <= set(spec.names):
        (row,) = rows_of_split(raw, spec, pointer, 1)
        return np.asarray(row)
    return row_of(list(raw.values()), list(raw), spec, pointer)


def taken(spec: InputSpec) -> str:
    """What a model takes, in words."""
    told = {"image": "an image", "table": "a row of a table", "text": "a text"}
    return told.get(spec.kind) or f"a tensor of the shape {spoken(spec)}"
