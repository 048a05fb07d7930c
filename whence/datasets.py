"""Many inputs as one dataset: a folder of images, rows of a table, an array's first axis, or an archive of these."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from whence.inputs import MEDIA, flattened, npy
from whence.tables import Columns, read_table

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ARCHIVES = {
    ".npz": "application/x-npz",
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".tgz": "application/gzip",
    ".gz": "application/gzip",
}
IMAGES = tuple(suffix for suffix, media in MEDIA.items() if media.startswith("image/"))


@dataclass(frozen=True)
class Upload:
    """A file to be sent as a dataset; `names` are those of its items where they come from files."""

    file: IO[bytes]
    media: str
    names: tuple[str, ...] = ()


def name_of(given: Any) -> str | None:
    """Of a dataset that the service has already: its digest, or a name that is no file here."""
    if not isinstance(given, str) or Path(given).exists():
        return None
    return given if DIGEST.fullmatch(given) or Path(given).suffix.lower() not in (*ARCHIVES, *MEDIA, ".csv") else None


def is_table(given: Any) -> bool:
    """Whether it is a file of rows, whose columns have names."""
    return isinstance(given, str | Path) and Path(given).suffix.lower() == ".csv" and Path(given).is_file()


@contextmanager
def upload_of(given: Any, columns: Columns | None = None) -> Iterator[Upload]:
    """`columns` are those of the model that a table is for.

    Raises FileNotFoundError, TypeError, and ValueError that says what in a file is wrong.
    """
    if isinstance(given, str | Path):
        path = Path(given)
        if path.is_dir():
            with tempfile.TemporaryFile() as file:
                yield _folder(path, file)
            return
        if path.suffix.lower() in ARCHIVES:
            with path.open("rb") as file:
                yield Upload(file, ARCHIVES[path.suffix.lower()])
            return
        if path.suffix.lower() not in (".csv", ".npy"):
            raise ValueError(f"{path} is neither a folder nor one of .csv, .npy, {', '.join(ARCHIVES)}")
        table = path.suffix.lower() == ".csv"
        given, labels = read_table(path, columns) if table else (np.load(path, allow_pickle=False), None)
        with tempfile.TemporaryFile() as file:
            yield _arrays(given, labels, file)
        return
    with tempfile.TemporaryFile() as file:
        yield _by_name(given, file) if isinstance(given, Mapping) else _arrays(given, None, file)


def loaded_stack(data: bytes) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """What is stacked in a safetensors file, whatever kind it is of: of several inputs each by its name."""
    import json

    size = int.from_bytes(data[:8], "little")
    head: Mapping[str, Any] = json.loads(data[8 : 8 + size])

    def stacked(name: str) -> NDArray[Any]:
        begin, end = head[name]["data_offsets"]
        kind = {"F32": "<f4", "I64": "<i8"}[head[name]["dtype"]]
        return np.frombuffer(data[8 + size + begin : 8 + size + end], kind).reshape(head[name]["shape"])

    names = [one for one in head if one not in ("__metadata__", "index")]
    several = {name.partition(".")[2]: stacked(name) for name in names if "." in name}
    return several or stacked(names[0])


def _folder(folder: Path, file: IO[bytes]) -> Upload:
    """Its images, those in class folders under their names; deeper ones keep their folders in their names."""
    found = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
    found = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    if not found:
        raise FileNotFoundError(f"{folder} holds no image ({', '.join(IMAGES)}); arrays go as one .npy or .npz")
    depths = {len(path.parts) for path in found}
    kept = depths in ({1}, {2})
    names = dict(zip(["/".join(path.parts) for path in found] if kept else flattened(found), found, strict=True))
    ordered = sorted(names, key=lambda name: name.split("/"))
    with zipfile.ZipFile(file, "w") as archive:
        for name in ordered:
            archive.write(folder / names[name], name)
    file.seek(0)
    return Upload(file, ARCHIVES[".zip"], tuple(str(names[name]) for name in ordered))


def _by_name(given: Mapping[str, Any], file: IO[bytes]) -> Upload:
    """Many items of several inputs: of each input an array whose first axis counts the items, or a list of texts."""
    return _npz({f"inputs.{name}": _many(one) for name, one in given.items()}, file)


def _many(given: Any) -> NDArray[Any]:
    if isinstance(given, Sequence) and given and all(isinstance(one, str) for one in given):
        return np.array(given)
    array: NDArray[Any] = np.load(io.BytesIO(npy(given)), allow_pickle=False)
    if array.ndim < 2:
        raise ValueError(f"many inputs lie along the first axis; an array of the shape {list(array.shape)} is one")
    return array


def _arrays(given: Any, labels: Sequence[int] | None, file: IO[bytes]) -> Upload:
    more = {} if labels is None else {"labels": np.asarray(labels, np.int64)}
    return _npz({"inputs": _many(given), **more}, file)


def _npz(arrays: Mapping[str, NDArray[Any]], file: IO[bytes]) -> Upload:
    np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for one of them
    file.seek(0)
    return Upload(file, ARCHIVES[".npz"])
