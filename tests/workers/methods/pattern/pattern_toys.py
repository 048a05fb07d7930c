"""What the tests of patterns and pattern_walks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tests.resources import InMemory, in_memory, no_input
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method
from workers.methods.method import Method


def fitted(model: Model, data: Tensor, **parameters: object) -> dict[str, Tensor]:
    """A pattern_fit's patterns, without their leading axis."""
    method = parse_method({"name": "pattern_fit", **parameters})
    arrays = method.explain(model, no_input(model, in_memory(data))).arrays
    return {name: array[0] for name, array in arrays.items() if not name.endswith(".mean")}


class Kept(InMemory):
    """Resources whose states are given, in whatever precision."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        super().__init__({})
        self.arrays = arrays

    def state(self, model: Any, method: Method) -> Mapping[str, Any]:
        return self.arrays
