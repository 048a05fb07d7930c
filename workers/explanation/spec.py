"""What is said of a model before its graph is seen."""

from __future__ import annotations

from dataclasses import dataclass

from workers.explanation.card import InputSpec, Output


@dataclass(frozen=True)
class ModelSpec:
    """What a folder says of a model; `digest` is "sha256:" and 64 hex digits, of all that decides."""

    name: str
    digest: str
    output: Output
    input: InputSpec
    labels: tuple[str, ...]
    default_method: str
    accuracy: float | None
