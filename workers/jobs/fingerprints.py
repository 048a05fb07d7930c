"""What a receipt proves with: a seal over the whole of it, and sketches that tell how far two arrays are apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.jobs.job import canonical_json

SUMS = 16
WIDE = 1024  # values that are added side by side: a multiple of SUMS, at which a long sum is quickest
STEP = 2**20  # values at once: a multiple of 8 and of WIDE


def seal(receipt: Mapping[str, Any]) -> str:
    """SHA-256 of all of a receipt but its seal and what is signed of that."""
    sealed = {name: value for name, value in receipt.items() if name not in ("seal", "signature")}
    return hashlib.sha256(canonical_json(sealed)).hexdigest()


def sketch(array: NDArray[Any], key: str) -> dict[str, Any]:
    """The Euclidean norm, and 16 sums of the values under signs that SHAKE-256 draws from `key`.

    The signs are random, so the mean square of the difference of two arrays' sums tells the square of their distance,
    whatever made them differ.
    """
    values = np.ascontiguousarray(array).reshape(-1)
    sums, square = np.zeros(SUMS), 0.0
    for start in range(0, values.size, STEP):
        size = min(STEP, values.size - start)
        padded = np.zeros(-(-size // WIDE) * WIDE)
        part = padded[:size]
        part[:] = values[start : start + size]
        square += float(part @ part)
        drawn = hashlib.shake_256(f"{key}:{start}".encode()).digest(-(-size // 8))
        signs = np.unpackbits(np.frombuffer(drawn, np.uint8), count=size).view(np.int8)
        signs *= 2
        signs -= 1
        part *= signs
        sums += padded.reshape(-1, WIDE).sum(0).reshape(-1, SUMS).sum(0)
    return {"shape": list(array.shape), "norm": square**0.5, "sums": sums.tolist()}


def distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How far two sketched arrays are apart, over the norm of the larger: an estimate, good to about a fifth."""
    apart = np.linalg.norm(np.subtract(one["sums"], other["sums"]))
    larger = max(one["norm"], other["norm"])
    return float(apart / larger) if larger else float(apart)


def sketches(arrays: Mapping[str, NDArray[Any]], key: str) -> dict[str, dict[str, Any]]:
    """Of each array of numbers by its name."""
    return {name: sketch(array, f"{key}:{name}") for name, array in arrays.items() if array.dtype.kind in "biuf"}


def comparable(sums: Any) -> bool:
    """Whether this is a sketch's sums."""
    return isinstance(sums, Sequence) and len(sums) == SUMS and all(isinstance(one, int | float) for one in sums)
