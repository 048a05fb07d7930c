""".pt2 archives for tests, and ways of tampering with one."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import torch
from torch import nn
from torch.export import Dim

from tests.workers.models.folders import write_folder

Entries = dict[str, bytes]


class Bomb:
    """Unpickling this makes a file: the proof that something was unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def toy_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5)).eval()


def saved(module: nn.Module | None = None, **options: Any) -> bytes:
    """What torch.export.save writes for a module, sample inputs and all."""
    module = module or toy_module()
    program = torch.export.export(module, (torch.zeros(2, 3, 6, 6),), dynamic_shapes=({0: Dim("batch")},))
    out = io.BytesIO()
    torch.export.save(program, out, **options)
    return out.getvalue()


def entries(data: bytes) -> Entries:
    """The archive's entries by name under its root."""
    with ZipFile(io.BytesIO(data)) as file:
        return {info.filename.partition("/")[2]: file.read(info) for info in file.infolist()}


def packed(content: Entries, root: str = "model", names: Iterable[str] | None = None) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as file:
        for name in names or content:
            file.writestr(f"{root}/{name}", content[name])
    return out.getvalue()


def edited(content: Entries, name: str, change: Callable[[Any], Any]) -> Entries:
    """The entries with the JSON of one of them changed in place."""
    value = json.loads(content[name])
    change(value)
    return {**content, name: json.dumps(value).encode()}


def pickled(path: Path) -> bytes:
    return pickle.dumps(Bomb(path))


def torch_pickled(path: Path) -> bytes:
    out = io.BytesIO()
    torch.save(Bomb(path), out)
    return out.getvalue()


def archive_folder(path: Path, data: bytes) -> Path:
    """A model folder whose source is that archive."""
    write_folder(path, {"model.source": "model.pt2", "model.weights": None})
    (path / "model.pt2").write_bytes(data)
    return path
