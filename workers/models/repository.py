"""The folders of models: which can be served, and why the others cannot. Read in the background, had as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import structlog

from workers.explanation.errors import ModelError
from workers.models.folder import Folder, find_folders

Outcome: TypeAlias = Folder | ModelError
Read: TypeAlias = Callable[[Iterable[Path]], Iterator[tuple[Path, Outcome]]]

log = structlog.get_logger()


class ModelRepository:
    """What `read` says of the folders below `models`; safe for threads. A slow folder keeps nobody from the others."""

    def __init__(self, models: Path, read: Read) -> None:
        self.models = models
        self._read = read
        self._ready: dict[str, Folder] = {}
        self._failed: dict[str, str] = {}
        self._changed = threading.Condition()
        self._reading = False

    def find(self, name: str) -> Folder | None:
        """The folder of that digest or name; what is not known is looked for anew, once."""
        with self._changed:
            for _ in range(2):
                if (found := self._named(name)) is not None:
                    return found
                joined = self._reading  # it may have begun before the folder was there
                self._begin()
                self._changed.wait_for(lambda: self._named(name) is not None or not self._reading)
                if not joined:
                    break
            return self._named(name)

    def each(self) -> Iterator[Folder]:
        """Read the folders anew: every sound one, as soon as it is known to be."""
        told: set[str] = set()
        with self._changed:
            self._begin()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._reading or not told.issuperset(self._ready))
                new = [folder for digest, folder in self._ready.items() if digest not in told]
            if not new:
                return
            told.update(folder.digest for folder in new)
            yield from new

    def ready(self) -> list[str]:
        """Names of those that can be served."""
        with self._changed:
            return sorted(folder.name for folder in self._ready.values())

    def failed(self) -> dict[str, str]:
        """The others by name, each with the reason."""
        with self._changed:
            return dict(self._failed)

    def fail(self, folder: Folder, reason: str) -> None:
        """Note that a folder which seemed sound cannot be served here."""
        with self._changed:
            self._failed[folder.name] = reason

    def _named(self, name: str) -> Folder | None:
        by_name = (folder for folder in self._ready.values() if folder.name == name)
        return self._ready.get(name) or next(by_name, None)

    def _begin(self) -> None:
        if not self._reading:
            self._reading = True
            threading.Thread(target=self._read_all, name="folders", daemon=True).start()

    def _read_all(self) -> None:
        ready: dict[str, Folder] = {}
        failed: dict[str, str] = {}
        try:
            for path, outcome in self._read(find_folders(self.models)):
                with self._changed:
                    if isinstance(outcome, ModelError):
                        failed[path.resolve().name] = outcome.detail
                        self._note(path.resolve().name, outcome.detail)
                    else:
                        self._ready[outcome.digest] = ready[outcome.digest] = outcome
                    self._changed.notify_all()
        except ModelError as error:
            log.error("the models cannot be read", reason=error.detail)
        except Exception:
            log.exception("the models cannot be read")
        finally:
            with self._changed:
                self._ready, self._failed, self._reading = ready, failed, False
                self._changed.notify_all()

    def _note(self, name: str, reason: str) -> None:
        if self._failed.get(name) != reason:
            log.error("a model folder is wrong", model=name, reason=reason)
        self._failed[name] = reason
