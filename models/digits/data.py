"""Reads MNIST from a file `mnist.npz` or from a folder with the four idx files, gzipped or not."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class Digits(NamedTuple):
    """Images (n, 28, 28) uint8, white strokes on black, with their labels (n,) uint8."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.uint8]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.uint8]


def read_digits(path: Path) -> Digits:
    """The digits of an npz file (keys x_train, y_train, x_test, y_test) or of a folder of idx files."""
    if path.is_dir():
        return Digits(*(_idx(path, name) for name in IDX_FILES))
    with np.load(path, allow_pickle=False) as arrays:
        return Digits(*(arrays[key] for key in Digits._fields))


def _idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """An idx file: two zeros, the type 8 (uint8), the count of axes, their sizes as big-endian int32, the bytes."""
    zipped = folder / f"{name}.gz"
    raw = gzip.decompress(zipped.read_bytes()) if zipped.exists() else (folder / name).read_bytes()
    if raw[:3] != b"\0\0\x08":
        raise SystemExit(f"{name} is no idx file of unsigned bytes")
    axes = raw[3]
    shape = np.frombuffer(raw, ">i4", axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
