"""Where memory runs out, every method goes on with less at once: tried on a device that holds few rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.test_laws import NAMES, explained, model
from tests.toys import CHUNK, inputs, model_of, net
from workers.engine.graph import Node
from workers.engine.model import Model

__all__ = ["model"]
FITS = 3  # rows
run = Node.run


def small(node: Node, values: Mapping[int, Any] | Sequence[Any]) -> Any:
    """A call on a device whose memory holds values of a few rows."""
    value = run(node, values)
    if isinstance(value, torch.Tensor) and node.shape is not None and value.dim() and len(value) > FITS:
        raise MemoryError
    return value


@pytest.mark.parametrize("name", NAMES)
def test_a_method_goes_on_with_fewer_rows_at_once(model: Model, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explained(model, name, inputs(1), [3])
    monkeypatch.setattr(model, "_chunk", CHUNK)
    monkeypatch.setattr(model, "_shrunk_at", -math.inf)
    with monkeypatch.context() as short:
        short.setattr(Node, "run", small)
        while True:
            try:
                parts = explained(model, name, inputs(1), [3])
                break
            except MemoryError:
                assert model.shrink(), "it needs more at once than the smallest chunk"
    for one, other in zip(whole, parts, strict=True):
        assert one.arrays.keys() == other.arrays.keys()
        for key, array in one.arrays.items():
            size = np.abs(array).max(initial=0.0)
            np.testing.assert_allclose(other.arrays[key], array, rtol=1e-4, atol=1e-5 * (size + 1e-12))


def test_memory_that_was_short_is_asked_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = model_of(net(), (1, 8, 8))
    assert toy.shrink()
    assert (toy.chunk, toy.short) == (CHUNK // 2, True)
    monkeypatch.setattr("workers.engine.model.fastest", lambda *_: 16)
    monkeypatch.setattr("workers.engine.model.SHRUNK_S", -1)
    assert (toy.chunk, toy.short) == (16, False)
