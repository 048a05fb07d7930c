"""What the tests of datasets and dataset_archives share."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

X = np.linspace(-1, 1, 3 * 2 * 4 * 5, dtype=np.float32).reshape(3, 2, 4, 5)
LABELS = np.array([2, 0, 2])
MASKS = np.arange(3 * 2 * 4 * 5).reshape(3, 2, 4, 5) % 3 == 0
BOXES = np.array([[0, 0.25, 0.5, 1]] * 3, np.float32)


def npy(array: np.ndarray[Any, Any], more: bytes = b"") -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue() + more
