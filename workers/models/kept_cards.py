"""Cards that were made before: by content, for any machine; and what each folder was when it was last read.

A card is of a version of a model and of the code that made it. It is made once: a worker that starts again with the
same folders reads none of their archives.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import orjson
from pydantic import TypeAdapter, ValidationError

from workers.explanation.card import ModelCard
from workers.models.code_digest import imported, outside
from workers.models.folder import Folder

PLACE = ".whence"  # in the folder of folders, beside them
FOLDER: TypeAdapter[Folder] = TypeAdapter(Folder)

Signature: TypeAlias = tuple[tuple[str, int, int, int], ...]
Get: TypeAlias = Callable[[str], bytes | None]
Put: TypeAlias = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Whole:
    """A folder that is sound, with its card; `kept` is the name that the card is kept under, `signature` its files'."""

    folder: Folder
    card: ModelCard
    kept: str
    signature: Signature


class KeptCards:
    """Cards by name, in files below `models` where that can be written, and where `get` and `put` reach: Redis."""

    def __init__(self, models: Path, get: Get, put: Put) -> None:
        self._place = models / PLACE
        self._get = get
        self._put = put

    def find(self, folder: Folder) -> ModelCard | None:
        """The card of a folder's version, under the folder's own name; None where none was made yet."""
        kept = name_of(folder)
        text = self._read(f"card-{kept}") or self._get(kept)
        if text is None:
            return None
        try:
            return ModelCard.model_validate_json(text).model_copy(update={"name": folder.name})
        except ValidationError:
            return None

    def keep(self, folder: Folder, card: ModelCard) -> None:
        text, kept = card.model_dump_json().encode(), name_of(folder)
        self._write(f"card-{kept}", text)
        self._put(kept, text)

    def last(self, path: Path, now: Signature) -> Whole | None:
        """What a folder was, where nothing has changed since it was read: of its files, or of what they import."""
        text = self._read(f"folder-{path.name}")
        if text is None:
            return None
        try:
            told = orjson.loads(text)
            folder = FOLDER.validate_python(told["folder"], strict=False)
            same = (
                told["code"] == code()
                and folder.path == path
                and told["signature"] == [list(one) for one in now]
                and told["outside"] == outside(folder.source, set(told["imported"]))
            )
        except (ValueError, KeyError, TypeError):
            return None
        card = self.find(folder) if same else None
        return None if card is None else Whole(folder, card, name_of(folder), now)

    def remember(self, whole: Whole) -> None:
        """Note what a folder is, for who starts next; what a server is, it says itself each time."""
        folder = whole.folder
        if folder.source.remote:
            return
        names = imported(folder.source, folder.path)
        told = {
            "code": code(),
            "signature": whole.signature,
            "folder": FOLDER.dump_python(folder, mode="json"),
            "imported": sorted(names),
            "outside": outside(folder.source, names),
        }
        self._write(f"folder-{folder.path.name}", orjson.dumps(told))

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._place / f"{name}.json").read_bytes()
        except OSError:
            return None

    def _write(self, name: str, text: bytes) -> None:
        draft = self._place / f"{uuid.uuid4().hex}.part"
        try:
            self._place.mkdir(exist_ok=True)
            draft.write_bytes(text)
            draft.replace(self._place / f"{name}.json")
        except OSError:  # a folder that cannot be written, or is full; Redis has it
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)


def name_of(folder: Folder) -> str:
    """What the card of a folder's version is kept under: it is of all that decides it, but the folder's name."""
    alike = [folder.digest, list(folder.labels), code()]
    return hashlib.sha256(json.dumps(alike).encode()).hexdigest()[:32]


@cache
def code() -> str:
    """What makes cards: this code, and torch."""
    total = hashlib.sha256(version("torch").encode())
    root = Path(__file__).parents[1]
    for place, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            if file.endswith((".py", ".txt")):
                total.update(Path(place, file).read_bytes())
    return total.hexdigest()[:16]
