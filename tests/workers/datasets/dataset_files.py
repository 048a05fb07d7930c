"""Archives and folders of datasets for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from PIL import Image

from workers.datasets.card import DatasetCard, Limits
from workers.datasets.library import Datasets


def png(value: int, side: int = 8) -> bytes:
    """A grey image all of one value."""
    out = io.BytesIO()
    Image.new("L", (side, side), value).save(out, "PNG")
    return out.getvalue()


PETS = {f"{name}/{i}.png": png(100 * k + i) for k, name in enumerate(("cat", "dog")) for i in range(3)}


def zipped(files: Mapping[str, bytes], compression: int = ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w", compression) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], compression: str = "gz", form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{compression}", format=form) as file:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return out.getvalue()


def npz(compressed: bool = True, **arrays: Any) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


def npz_by_name(arrays: Mapping[str, Any]) -> bytes:
    """Of arrays whose names are no words."""
    return npz(**{"compressed": True, **arrays})


def placed(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def sent(datasets: Datasets, data: bytes, **limits: int) -> DatasetCard:
    """The card of an upload."""
    with datasets.room() as room:
        (room / "upload").write_bytes(data)
        return datasets.add(room / "upload", Limits(**limits))[0]
