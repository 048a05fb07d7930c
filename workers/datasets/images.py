"""Images in class folders: packed from an archive into one file, read again, or read where the operator put them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import orjson

from workers.datasets.card import MAX_CLASSES, Limits
from workers.datasets.contents import Contents
from workers.explanation.errors import InputError, InputTooLarge, InvalidDataset
from workers.explanation.images.decoding import inspect
from workers.explanation.tensors import encode_npy

BLOB, SPANS, LABELS, CLASSES = "inputs.bin", "spans.npy", "labels.npy", "classes.json"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm")
STRAY = re.compile(r"(\..*|__MACOSX|Thumbs\.db|desktop\.ini)", re.IGNORECASE)
LONGEST_PATH = 1024
Path_: TypeAlias = tuple[str, ...]


def pack(entries: Iterable[tuple[str, bytes]], into: Path, limits: Limits) -> None:
    """Write the images of an archive, in the order of their paths; raises InvalidDataset, InputTooLarge."""
    spans: dict[Path_, tuple[int, int]] = {}
    with (into / BLOB).open("wb") as blob:
        for number, (name, data) in enumerate(entries, 1):
            path = plain(name, number)
            if any(STRAY.fullmatch(part) for part in path):
                continue
            if path in spans:
                raise InvalidDataset(f"entry {number} of the archive has the name of another")
            if len(spans) == limits.items:
                raise InputTooLarge(f"the archive holds more than the {limits.items} images that are allowed")
            _check_image(data, number, limits.pixels)
            spans[path] = blob.tell(), blob.tell() + len(data)
            blob.write(data)
    if not spans:
        raise InvalidDataset("the archive holds no image")
    paths = sorted(spans)
    classes, labels = sorted_out(paths)
    (into / SPANS).write_bytes(encode_npy(np.array([spans[path] for path in paths], np.int64)))
    if classes:
        (into / LABELS).write_bytes(encode_npy(np.array(labels, np.int64)))
    (into / CLASSES).write_bytes(orjson.dumps(classes))


def packed(folder: Path) -> Contents:
    """What `pack` wrote."""
    blob, spans = np.memmap(folder / BLOB, np.uint8, "r"), np.load(folder / SPANS, allow_pickle=False)
    classes = tuple(orjson.loads((folder / CLASSES).read_bytes()))
    return Contents(
        kind="images",
        count=len(spans),
        item=lambda i: blob[slice(*spans[i])].tobytes(),
        classes=classes,
        labels=np.load(folder / LABELS, allow_pickle=False) if classes else None,
    )


def placed(folder: Path) -> Contents:
    """The images of a folder, or of its class folders; raises InvalidDataset where there are none."""
    files = sorted(
        path.relative_to(folder).parts
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    paths = [path for path in files if not any(STRAY.fullmatch(part) for part in path)]
    if not paths:
        raise InvalidDataset("the folder holds neither inputs.npy (or inputs.NAME.npy) nor images")
    classes, labels = sorted_out(paths)
    return Contents(
        kind="images",
        count=len(paths),
        item=lambda i: folder.joinpath(*paths[i]).read_bytes(),
        classes=classes,
        labels=np.array(labels, np.int64) if classes else None,
    )


def plain(name: str, number: int) -> Path_:
    """The parts of a path below the archive's root; raises InvalidDataset for one that leads out of it."""
    path = tuple(name.removeprefix("./").split("/"))
    if len(name) > LONGEST_PATH or {"", ".", ".."} & set(path) or "\\" in name or not name.isprintable():
        raise InvalidDataset(f"entry {number} of the archive has no plain path below the archive's root")
    return path


def sorted_out(paths: Sequence[Path_]) -> tuple[tuple[str, ...], list[int]]:
    """Class names in order and each path's class; none where the images lie in no folder. Raises InvalidDataset."""
    if all(len(path) == 3 for path in paths) and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    if all(len(path) == 1 for path in paths):
        return (), []
    if not all(len(path) == 2 for path in paths):
        raise InvalidDataset("images lie in one folder for each class, or all of them in none")
    names = sorted({path[0] for path in paths})
    if len(names) > MAX_CLASSES:
        raise InvalidDataset(f"there are {len(names)} class folders; {MAX_CLASSES} are allowed")
    index = {name: i for i, name in enumerate(names)}
    return tuple(names), [index[path[0]] for path in paths]


def _check_image(data: bytes, number: int, pixels: int) -> None:
    try:
        inspect(data, pixels)
    except InputTooLarge as error:
        raise InputTooLarge(f"entry {number} of the archive: {error.detail}") from None
    except InputError as error:
        raise InvalidDataset(
            f"entry {number} of the archive is no readable image; it holds images alone, or .npy arrays alone, and no "
            f"archives in it ({error.detail})"
        ) from None
