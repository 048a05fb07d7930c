"""Repositories of models for tests: with no folders, or with what a test puts there."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.model_state import ModelState
from workers.models.folder import Folder
from workers.models.kept_cards import KeptCards, Whole, name_of
from workers.models.reading import signature
from workers.models.repository import ModelRepository
from workers.models.source import parse_source

NONE: Mapping[str, str] = MappingProxyType({})
TOY = ModelCard(name="toy", digest="sha256:0", input=InputSpec(shape=(1, 8, 8)), outputs=(3,))


def whole(card: ModelCard, path: Path = Path("nowhere")) -> Whole:
    """As a folder that has this card was read."""
    folder = Folder(
        name=card.name, digest=card.digest, output=card.output, input=card.input, labels=card.labels,
        default_method=card.default_method, accuracy=card.accuracy, path=path, source=parse_source("model.pt2", ""),
        weights=None,
    )  # fmt: skip
    return Whole(folder, card, name_of(folder), signature(path))


class Fixed(ModelRepository):
    """What it holds is what a test says."""

    def __init__(self, *held: Whole, failed: Mapping[str, str] = NONE) -> None:
        self.held = list(held)
        self.broken = failed
        self.changed = threading.Event()
        self.looked = True
        self.holder = None
        self.dropped: list[str] = []

    def find(self, digest: str) -> Whole | None:
        return next((one for one in self.held if one.folder.digest == digest), None)

    def named(self, name: str) -> Whole | None:
        return next((one for one in self.held if one.folder.name == name), None) or self.find(name)

    def drop(self, digest: str) -> None:
        self.dropped.append(digest)

    def digests(self) -> list[str]:
        return [one.folder.digest for one in self.held]

    def pinned(self, digest: str) -> bool:
        found = self.find(digest)
        return found is not None and signature(found.folder.path) != found.signature

    def versions(self) -> list[Whole]:
        return self.held

    def states(self) -> list[ModelState]:
        ready = [
            ModelState(name=one.folder.name, state="ready", digest=one.folder.digest, card=one.kept, since=1.0)
            for one in self.held
        ]
        return ready + [ModelState(name=name, state="failed", reason=why) for name, why in self.broken.items()]


class Shelf(KeptCards):
    """Cards kept beside a folder, and in a place that stands for Redis."""

    def __init__(self, models: Path) -> None:
        self.far: dict[str, bytes] = {}
        super().__init__(models, self.far.get, self.far.__setitem__)
