"""Sketches are those of their definition, to the last bit; receipts of old stay comparable."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.jobs import fingerprints
from workers.jobs.fingerprints import SUMS, sketch


def defined(array: NDArray[np.generic], key: str, step: int) -> list[float]:
    """As its docstring says: sums of the values under signs that SHAKE-256 draws, in parts of `step` values."""
    values = array.reshape(-1).astype(np.float64)
    sums = np.zeros(SUMS)
    for start in range(0, values.size, step):
        part = values[start : start + step]
        drawn = hashlib.shake_256(f"{key}:{start}".encode()).digest(-(-part.size // 8))
        bits = "".join(f"{byte:08b}" for byte in drawn)
        signed = [value if bit == "1" else -value for bit, value in zip(bits, part, strict=False)]
        signed += [0.0] * (-len(signed) % SUMS)
        sums += np.array(signed).reshape(-1, SUMS).sum(0)
    return [float(one) for one in sums]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("size", [1, 7, 16, 250, 1000])
def test_a_sketch_is_that_of_its_definition(dtype: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "STEP", 256)
    array = (np.random.default_rng(size).normal(size=size) * 100).astype(dtype)
    found = sketch(array, "key")
    assert found["sums"] == defined(array, "key", 256)
    assert found["norm"] == pytest.approx(np.linalg.norm(array.astype(np.float64)), rel=1e-12)
    assert np.array_equal(array, (np.random.default_rng(size).normal(size=size) * 100).astype(dtype))
