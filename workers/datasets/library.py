"""The datasets of one folder: uploads, whole and under their digest, and the operator's own, by the folder's name.

An upload is a folder `sha256-<hex>`; it is made under another name and renamed, so that it is seen whole or not at all.
Any number of processes may share the folder; workers only read it.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from pydantic import ValidationError

from workers.datasets.archive import unpack
from workers.datasets.arrays import arrays, has_arrays
from workers.datasets.card import DatasetCard, Limits
from workers.datasets.contents import Contents
from workers.datasets.images import BLOB, packed, placed
from workers.explanation.errors import InputTooLarge, InvalidDataset, UnknownDataset
from workers.explanation.names.spelling import meant

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
UPLOADED = re.compile(r"sha256-[0-9a-f]{64}")
USUAL = "training"
CARD = "dataset.json"
STALE_S = 6 * 3600  # an upload that its process did not live to finish

log = structlog.get_logger()


class Datasets:
    """The datasets under `folder`, which need not exist yet; safe for threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._named: dict[str, tuple[object, DatasetCard]] = {}
        self._lock = threading.Lock()

    def card(self, name: str) -> DatasetCard:
        """Of the dataset of that name or digest; raises UnknownDataset, InvalidDataset."""
        if DIGEST.fullmatch(name):
            found = self._uploaded(self._place(name))
            found = found or next((card for card in self._own() if card.digest == name), None)
        else:
            found = self._described(name) if self._is_own(self.folder / name) else None
        if found is None:
            raise UnknownDataset(self._missing(name))
        return found

    def cards(self) -> list[DatasetCard]:
        """Of every dataset: the operator's by name, then the uploads, newest first."""
        uploads = [card for path in self._folders(UPLOADED) if (card := self._uploaded(path)) is not None]
        return [*self._own(), *sorted(uploads, key=lambda card: -card.created_at)]

    def contents(self, card: DatasetCard) -> Contents:
        """The items; raises InvalidDataset, and UnknownDataset where the dataset is gone by now."""
        folder = self.folder / card.name if card.name else self._place(card.digest)
        try:
            return contents(folder)
        except FileNotFoundError:
            raise UnknownDataset("the dataset has gone since it was asked for") from None

    def _missing(self, name: str) -> str:
        if DIGEST.fullmatch(name):
            return "there is no dataset of this digest; send it again, by POST /api/v1/datasets"
        named = [card.name for card in self._own() if card.name]
        which = f"called {USUAL}, which a method takes where none is named" if name == USUAL else "of this name"
        return f"there is no dataset {which}; {meant(name, named)}, and uploads go by their digest"

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A folder for an upload on its way, which is removed at the end."""
        self._sweep()
        place = self.folder / f".incoming-{uuid.uuid4().hex}"
        place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def add(self, upload: Path, limits: Limits) -> tuple[DatasetCard, bool]:
        """Keep an uploaded archive, which lies in a `room`; the dataset's card, and whether it is new here.

        Raises InvalidDataset, InputTooLarge.
        """
        whole = upload.parent / "whole"
        whole.mkdir()
        unpack(upload, whole, limits)
        card = described(whole)
        if card.count > limits.items:
            raise InputTooLarge(f"the dataset has {card.count} items; {limits.items} are allowed")
        if self._place(card.digest).is_dir():
            return self.card(card.digest), False
        if card.bytes + sum(one.bytes for one in self.cards() if one.name is None) > limits.space:
            raise InputTooLarge("there is no room for it beside the datasets kept here; DELETE those no longer needed")
        (whole / CARD).write_text(card.model_dump_json())
        try:
            whole.rename(self._place(card.digest))
        except OSError:
            if not self._place(card.digest).is_dir():  # else another upload of the same items came first
                raise
        return self.card(card.digest), True

    def remove(self, digest: str) -> bool:
        """Forget an upload; False where there is none. Who reads it now reads on."""
        gone = self.folder / f".incoming-{uuid.uuid4().hex}"
        if not DIGEST.fullmatch(digest):
            return False
        with suppress(FileNotFoundError):
            self._place(digest).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            return True
        return False

    def _place(self, digest: str) -> Path:
        return self.folder / digest.replace(":", "-")

    def _folders(self, pattern: re.Pattern[str]) -> list[Path]:
        with suppress(FileNotFoundError):
            return sorted(path for path in self.folder.iterdir() if pattern.fullmatch(path.name) and path.is_dir())
        return []

    def _uploaded(self, path: Path) -> DatasetCard | None:
        with suppress(FileNotFoundError, ValidationError):
            return DatasetCard.model_validate_json((path / CARD).read_bytes())
        return None

    def _is_own(self, path: Path) -> bool:
        name = path.name
        return (
            bool(NAME.fullmatch(name)) and not UPLOADED.fullmatch(name) and path.parent == self.folder and path.is_dir()
        )

    def _own(self) -> list[DatasetCard]:
        """The operator's datasets; a bad one is logged and left out."""
        cards = []
        for path in self._folders(NAME):
            if self._is_own(path):
                try:
                    cards.append(self._described(path.name))
                except (InvalidDataset, OSError) as error:
                    log.error("a dataset's folder is wrong", dataset=path.name, reason=str(error))
        return cards

    def _described(self, name: str) -> DatasetCard:
        """Read through once, and again when a file has changed."""
        with self._lock:
            state = _state(self.folder / name)
            if name not in self._named or self._named[name][0] != state:
                self._named[name] = state, described(self.folder / name).model_copy(update={"name": name})
            return self._named[name][1]

    def _sweep(self) -> None:
        for path in self.folder.glob(".incoming-*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - STALE_S:
                    shutil.rmtree(path, ignore_errors=True)


def contents(folder: Path) -> Contents:
    """What a folder holds, in whichever form; raises InvalidDataset, and FileNotFoundError where there is none."""
    folder.stat()
    if has_arrays(folder):
        return arrays(folder)
    return packed(folder) if (folder / BLOB).is_file() else placed(folder)


def described(folder: Path) -> DatasetCard:
    """The card of a folder, which is read through for its digest; raises InvalidDataset."""
    found = contents(folder)
    return DatasetCard(
        digest=found.digest(),
        kind=found.kind,
        count=found.count,
        shape=found.shape,
        inputs=dict(found.inputs),
        classes=found.classes,
        concepts=found.concepts,
        categories=len(set(found.categories)),
        boxes=found.boxes is not None,
        series=0 if found.series is None else found.series.shape[2],
        bytes=sum(size for _, size, _ in _state(folder)),
        created_at=folder.stat().st_mtime,
    )


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Path, size and time of change of every file: what tells that a folder has changed."""
    found = []
    for at, _, names in os.walk(folder):
        for path in (os.path.join(at, name) for name in names):
            with suppress(FileNotFoundError):  # a link that leads nowhere
                about = os.stat(path)
                found.append((path, about.st_size, about.st_mtime_ns))
    return sorted(found)
