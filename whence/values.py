"""The small values in an explanation: what was predicted, what was checked, a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whence.files import write


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class, or a number of a value: its score is the model's own output."""

    index: int | list[int] | None
    label: str | None
    score: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the method's theory, and by how much it was missed: `gap` is relative to `expected`."""

    name: str
    expected: float
    observed: float
    gap: float


class Picture(bytes):
    """A PNG, which a notebook shows by itself."""

    def save(self, path: str | Path) -> None:
        write(path, self)

    def _repr_png_(self) -> bytes:
        return bytes(self)
