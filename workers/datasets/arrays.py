"""Tensors and texts in .npy files, mapped into memory: `inputs`, and of each item its label, masks, box, series.

Of several inputs each is an array of its own, `inputs.NAME`. `categories` says of each concept that masks show of which
kind it is.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, NoReturn
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from workers.datasets.card import MAX_CLASSES
from workers.datasets.contents import Contents, One
from workers.explanation.errors import InvalidDataset
from workers.explanation.tensors import MAX_AXES, unread

OF_ITEMS = ("labels", "masks", "boxes", "series")
BESIDE = (*OF_ITEMS, "categories")
INPUTS = re.compile(r"inputs(\.[A-Za-z][A-Za-z0-9_]{0,63})?")
CHUNK = 2**20


def is_npz(file: ZipFile) -> bool:
    """Whether the archive holds arrays and nothing else."""
    return all(name.endswith(".npy") for name in file.namelist()) and bool(file.namelist())


def extract(file: ZipFile, into: Path) -> None:
    """Copy the arrays out as they are; raises InvalidDataset where the archive holds others."""
    held = {name.removesuffix(".npy") for name in file.namelist()}
    inputs = {name for name in held if INPUTS.fullmatch(name)}
    if not inputs or ("inputs" in inputs and len(inputs) > 1) or not held - inputs <= set(BESIDE):
        _refuse(
            f"a .npz holds the array inputs, or an array inputs.NAME for each of several, and may hold "
            f"{', '.join(BESIDE)}; no others"
        )
    for name in file.namelist():
        with file.open(name) as source, (into / name).open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK)


def arrays(folder: Path) -> Contents:
    """The arrays of a folder, checked against each other; raises InvalidDataset."""
    inputs = {name: _inputs(_mapped(folder / f"{name}.npy", name), name) for name in _names(folder)}
    found = {name: _mapped(folder / f"{name}.npy", name) for name in BESIDE if (folder / f"{name}.npy").is_file()}
    first, like = next(iter(inputs.items()))
    for name, array in {**inputs, **found}.items():
        if name != "categories" and len(array) != len(like):
            _refuse(f"{name} has {len(array)} items and {first} has {len(like)}")
    several = {name.partition(".")[2]: array for name, array in inputs.items() if name != "inputs"}
    if several and (wrong := sorted({"masks", "boxes"} & found.keys())):
        _refuse(f"{wrong[0]} are of items of one input, and these have {len(several)}")
    labels = _labels(found["labels"]) if "labels" in found else None
    masks = _masks(found["masks"], like.shape) if "masks" in found else None
    return Contents(
        kind="several" if several else "tensors" if _shape(like) is not None else "texts",
        count=len(like),
        item=lambda i: {name: _item(array, i) for name, array in several.items()} if several else _item(like, i),
        classes=tuple(str(i) for i in range(int(labels.max()) + 1)) if labels is not None else (),
        shape=None if several else _shape(like),
        inputs={name: _shape(array) for name, array in several.items()},
        labels=labels,
        masks=masks,
        categories=_categories(found["categories"], masks) if "categories" in found else (),
        boxes=_boxes(found["boxes"]) if "boxes" in found else None,
        series=_series(found["series"]) if "series" in found else None,
    )


def has_arrays(folder: Path) -> bool:
    """Whether a folder holds arrays of inputs."""
    return bool(_names(folder))


def _names(folder: Path) -> list[str]:
    stems = (path.stem for path in folder.glob("inputs*.npy") if path.is_file())
    return sorted(name for name in stems if INPUTS.fullmatch(name))


def _inputs(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.dtype.kind == "U":
        if array.ndim != 1:
            _refuse(f"{name} has the shape {list(array.shape)}; texts lie in an array (n,), a text each")
    elif array.ndim < 2 or array.ndim > MAX_AXES + 1:
        _refuse(f"{name} has the shape {list(array.shape)}; it should be (n, ...), the items along the first axis")
    return array


def _shape(array: NDArray[Any]) -> tuple[int, ...] | None:
    """Of each item; None of texts."""
    return None if array.dtype.kind == "U" else array.shape[1:]


def _item(array: NDArray[Any], i: int) -> One:
    return str(array[i]) if array.dtype.kind == "U" else array[i]


def _mapped(path: Path, name: str) -> NDArray[Any]:
    """Nothing is unpickled: an array of objects cannot be mapped."""
    try:
        array = npy.open_memmap(path, mode="r")
    except (ValueError, EOFError, OverflowError, TypeError) as error:
        if "objects" in str(error):
            _refuse(f"{name} is not read: {unread(np.dtype(object))}")
        _refuse(f"{name} is no array of numbers, or is cut off; save it with numpy.savez")
    if (wrong := unread(array.dtype)) is not None and not (array.dtype.kind == "U" and INPUTS.fullmatch(name)):
        _refuse(f"{name} is not read: {wrong}")
    if array.ndim == 0:
        _refuse(f"{name} is a single number, without axes; it should be an array with an item for each input")
    if array.size == 0:
        _refuse(f"{name} is empty")
    if array.offset + array.nbytes != path.stat().st_size:
        _refuse(f"{name} is followed by bytes that are not its own")
    return array


def _labels(given: NDArray[Any]) -> NDArray[np.int64]:
    if given.ndim != 1 or given.dtype.kind not in "iu":
        _refuse("labels should have the shape (n,) and whole numbers")
    if given.min() < 0 or given.max() >= MAX_CLASSES:
        _refuse(f"labels should lie from 0 to {MAX_CLASSES - 1}")
    return given.astype(np.int64)


def _masks(given: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if given.ndim != 4 or given.shape[2:] != shape[-2:] or given.dtype.kind not in "biu":
        _refuse("masks should have the shape (n, concepts, H, W), H and W those of the inputs, and be bool or 0 and 1")
    return given


def _categories(given: NDArray[Any], masks: NDArray[Any] | None) -> tuple[int, ...]:
    if masks is None:
        _refuse("categories are of the concepts that masks show, and there are no masks; send both, or neither")
    concepts = masks.shape[1]
    if given.shape != (concepts,) or given.dtype.kind not in "iu":
        _refuse(f"categories should have the shape ({concepts},), a whole number for each concept of masks")
    if given.min() < 0 or given.max() >= concepts:
        _refuse(f"categories should lie from 0 to {concepts - 1}, below the number of concepts")
    return tuple(given.tolist())


def _boxes(given: NDArray[Any]) -> NDArray[np.float32]:
    if given.shape[1:] != (4,) or given.dtype.kind != "f":
        _refuse("boxes should have the shape (n, 4): left, top, right, bottom as fractions of width and height")
    boxes = given.astype(np.float32)
    if not (np.all(boxes >= 0) and np.all(boxes <= 1) and np.all(boxes[:, :2] < boxes[:, 2:])):
        _refuse("boxes should lie from 0 to 1, left before right and top before bottom")
    return boxes


def _series(given: NDArray[Any]) -> NDArray[Any]:
    if given.ndim != 3 or given.dtype.kind not in "biuf":
        _refuse("series should have the shape (n, steps, series), and be numbers")
    if not np.isfinite(given).all():
        _refuse("series holds NaN or infinity; leave such items out, or fill what is not known")
    return given


def _refuse(detail: str) -> NoReturn:
    raise InvalidDataset(detail)
