"""Versions of models that a worker computes, and what was asked for of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from workers.explanation.model_state import ModelState, State
from workers.models.kept_cards import Signature, Whole
from workers.models.reading import signature


@dataclass(frozen=True)
class Wishes:
    """What was asked for over HTTP: folders beside those that lie here by name, and what is to be done with some.

    `unloaded` names are not served; a folder is read anew when its number in `reloads` has changed.
    """

    folders: Mapping[str, Path] = field(default_factory=dict)
    unloaded: frozenset[str] = frozenset()
    reloads: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def sent(self, name: str) -> str | None:
        """What was sent of that name goes by the folder that its folder is in."""
        return self.folders[name].parent.name if name in self.folders else None


@dataclass(frozen=True)
class Version:
    """A version of a model that is computed here; `since` is when it became ready, in unix seconds."""

    whole: Whole
    since: float

    @property
    def digest(self) -> str:
        return self.whole.folder.digest

    @property
    def there(self) -> bool:
        """Whether its files are still what they were."""
        return signature(self.whole.folder.path) == self.whole.signature


def otherwise_labelled(ready: Mapping[str, Version], one: Whole) -> list[str]:
    """The names of the same net with other labels: explanations of all of them go by the same ids."""
    return sorted(
        name
        for name, version in ready.items()
        if version.digest == one.folder.digest and version.whole.card.labels != one.card.labels
    )


@dataclass
class Leaving:
    version: Version
    last: float  # when it was asked for, by the monotonic clock
    seconds: float  # that it stays after that


class Holder(Protocol):
    """Who holds models in memory; `holds` takes no lock."""

    def holds(self, digest: str) -> bool: ...

    def forget(self, digest: str) -> None: ...


class Changes:
    """Since when the files of each folder are as they are, by our own monotonic clock: a file server has another.

    The times of files count for what lay there when the process began, and not where they are still to come.
    """

    def __init__(self) -> None:
        self._since: dict[Path, tuple[tuple[Signature, float], float]] = {}

    def since(self, path: Path, now: Signature, *, first: bool) -> float:
        """When the files became what they are; `first`: nobody has looked before, so that they may be old."""
        state, before = (now, touched(path)), self._since.get(path)
        if before is not None and before[0] == state:
            return before[1]
        age = max(0.0, time.time() - state[1]) if first and before is None else 0.0
        since = time.monotonic() - age
        self._since[path] = state, since
        return since

    def forget(self, paths: Collection[Path]) -> None:
        """All but these."""
        self._since = {path: one for path, one in self._since.items() if path in paths}


def touched(path: Path) -> float:
    """When a folder or a file in it last changed, in unix seconds; what a copy says of older times is no matter."""
    latest = 0.0
    for place, _, files in os.walk(path):
        for one in (place, *(os.path.join(place, file) for file in files[:1000])):
            with contextlib.suppress(OSError):
                latest = max(latest, os.stat(one).st_ctime)
    return latest


def state_of(name: str, version: Version, state: State, sent: str | None) -> ModelState:
    """What is said of a version; `sent` names the upload that it came with."""
    return ModelState(
        name=name, state=state, digest=version.digest, card=version.whole.kept, since=version.since, sent=sent
    )
