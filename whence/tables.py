"""A .csv as numbers: a line for each input."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABEL = "label"


def read_table(path: Path) -> tuple[NDArray[np.float64], list[int] | None]:
    """Numbers by line, and the column `label`, if there is one. A first line that is no numbers is the head."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    if not lines:
        raise ValueError(f"{path} is empty")
    head = None if all(_number(cell) is not None for cell in lines[0]) else [cell.strip() for cell in lines.pop(0)]
    at = head.index(LABEL) if head and LABEL in head else None
    rows, labels = [], []
    for number, line in enumerate(lines, 1 + (head is not None)):
        values = [_number(cell) for cell in line]
        if None in values or len(line) != len(lines[0]):
            raise ValueError(f"{path}, line {number}: a line is {len(lines[0])} numbers with commas between them")
        labels.append(int(values.pop(at) or 0) if at is not None else 0)
        rows.append(values)
    return np.array(rows, np.float64), labels if at is not None else None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
