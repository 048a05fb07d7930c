"""A repository of models over a reader that a test scripts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.repositories import TOY, Shelf, whole
from workers.explanation.errors import InvalidFolder, ModelError
from workers.models.kept_cards import Signature, Whole
from workers.models.reading import Outcome, Reader
from workers.models.repository import ModelRepository
from workers.models.versions import Wishes

States = dict[str, str]
_clock = itertools.count(1.0)


class Scripted(Reader):
    """A folder's digest is the first word in it, others are labels; "bad" is wrong. Each is read when `go` says so."""

    def __init__(self, models: Path) -> None:
        super().__init__(1, lambda model: model.card, Shelf(models))
        self.waiting: list[tuple[Path, Signature]] = []
        self.read: list[str] = []
        self.go = True

    @property
    def room(self) -> bool:
        return True

    @property
    def busy(self) -> bool:
        return bool(self.waiting)

    def reads(self, path: Path) -> bool:
        return any(one == path for one, _ in self.waiting)

    def start(self, path: Path, now: Signature) -> None:
        self.waiting.append((path, now))

    def poll(self, seconds: float) -> Iterator[tuple[Path, Signature, Outcome]]:
        done, self.waiting = (self.waiting, []) if self.go else ([], self.waiting)
        for path, now in done:
            self.read.append(path.name)
            yield path, now, self._outcome(path)

    def _outcome(self, path: Path) -> Whole | ModelError:
        text, *labels = (path / "model.pt2").read_text().split()
        if text == "bad":
            return InvalidFolder(f"{path.name}: it is bad")
        card = TOY.model_copy(update={"name": path.name, "digest": f"sha256:{text}"})
        card = card.model_copy(update={"labels": tuple(labels)}) if labels else card
        found = whole(card, path)
        self.kept.keep(found.folder, found.card)
        return found


class Memory:
    """Who holds models in memory, as a test says."""

    def __init__(self) -> None:
        self.held: set[str] = set()

    def holds(self, digest: str) -> bool:
        return digest in self.held

    def forget(self, digest: str) -> None:
        self.held.discard(digest)


class Place:
    """A folder of models, its repository, and the hours that pass."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.reader = Scripted(models)
        self.memory = Memory()
        self.waits: set[str] = set()
        self.wishes = Wishes()
        self.began: list[tuple[str, str, bool]] = []
        self.repository = self.another()

    def another(self, serves: Callable[[str], bool] = lambda _: True) -> ModelRepository:
        found = ModelRepository(self.models, self.reader, serves, self._began, lambda digest: digest in self.waits)
        found.holder = self.memory
        return found

    def _began(self, name: str, digest: str, switched: bool) -> float:
        self.began.append((name, digest, switched))
        return next(_clock)

    def put(self, name: str, text: str) -> Path:
        path = self.models / name
        path.mkdir(exist_ok=True)
        (path / "model.pt2").write_text(text)
        return path

    def states(self) -> States:
        """After a round: each name's state, of a version with its digest."""
        self.repository.round(self.wishes)
        told = [(one.name, one.state, one.digest) for one in self.repository.states()]
        return {f"{name}@{digest[7:]}" if digest else name: state for name, state, digest in told}
