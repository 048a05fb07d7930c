"""The repository: what a worker makes of the folders of models, for as long as it lives.

A folder that comes or changes is read once its files have been still for a moment; what cannot be read and was written
just now may be half there, and is looked at again. A version that was replaced or removed is computed as long as
somebody asks for it and as it can be: its files are there, or it is in memory.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from workers.explanation.errors import InvalidFolder, ModelError
from workers.explanation.model_state import ModelState
from workers.models.folder import find_folders
from workers.models.kept_cards import Signature, Whole
from workers.models.reading import Reader, may_change, signature
from workers.models.versions import Changes, Holder, Leaving, Version, Wishes, otherwise_labelled, state_of

STILL_S = 1.0  # that the files of a folder have not changed, before it is read
DOUBT_S = 5.0  # after their last change in which what is wrong with them may be that they are not all there
REMOVED_S = 8.0  # that a version of a folder that is gone stays after it was last asked for
REPLACED_S = 60.0  # and one that another took the place of
AWAY_S = 5.0  # after which a server that did not answer is asked again,
SERVER_S = 30.0  # and one that did, for it may serve another version by then
COMING = "its files are still coming, or not all there: "

log = structlog.get_logger()


class ModelRepository:
    """Use `round()` again and again, in one thread; all else is safe for others.

    `serves` says of a name whether it is this worker's. `began(name, digest, switched)` tells since when a version is
    the name's own. `waits(digest)` tells whether somebody still waits for it.
    """

    def __init__(
        self,
        models: Path,
        reader: Reader,
        serves: Callable[[str], bool],
        began: Callable[[str, str, bool], float],
        waits: Callable[[str], bool],
    ) -> None:
        self.models = models
        self.holder: Holder | None = None
        self.changed = threading.Event()
        self.looked = False  # at the folders, once
        self._reader = reader
        self._serves = serves
        self._began = began
        self._waits = waits
        self._lock = threading.RLock()
        self._ready: dict[str, Version] = {}
        self._leaving: dict[str, Leaving] = {}
        self._failed: dict[str, str] = {}
        self._loading: dict[str, str | None] = {}
        self._unloaded: frozenset[str] = frozenset()
        self._read: dict[str, tuple[Path, Signature, int]] = {}  # what each name was last read from
        self._last: dict[str, str] = {}  # the digest that each name stood for last
        self._doubt: dict[str, tuple[float, str]] = {}  # what is wrong, and until when that may pass
        self._told: dict[str, str] = {}
        self._again: dict[str, float] = {}  # when what hangs on a server is read again
        self._wishes = Wishes()
        self._changes = Changes()

    def find(self, digest: str) -> Whole | None:
        """A version that can be computed here; who asks keeps it."""
        with self._lock:
            for version in self._ready.values():
                if version.digest == digest:
                    return version.whole
            if (leaving := self._leaving.get(digest)) is None:
                return None
            leaving.last = time.monotonic()
            return leaving.version.whole

    def named(self, name: str) -> Whole | None:
        """The version that a name stands for now, or the one of that digest."""
        with self._lock:
            version = self._ready.get(name)
        return self.find(name) if version is None else version.whole

    def drop(self, digest: str) -> None:
        """Its files have changed, and it is not in memory: it cannot be computed any more."""
        with self._lock:
            for name in [name for name, version in self._ready.items() if version.digest == digest]:
                del self._ready[name]
                self._loading[name] = COMING + "they have changed"
                self._read.pop(name, None)
            self._leaving.pop(digest, None)
        self.changed.set()

    def digests(self) -> list[str]:
        """Of all that can be computed here."""
        with self._lock:
            return sorted({version.digest for version in self._ready.values()} | self._leaving.keys())

    def pinned(self, digest: str) -> bool:
        """Whether memory alone still has it."""
        with self._lock:
            leaving = self._leaving.get(digest)
            ready = [version for version in self._ready.values() if version.digest == digest]
        versions = [*ready, *([leaving.version] if leaving else [])]
        return bool(versions) and not any(version.there for version in versions)

    def versions(self) -> list[Whole]:
        """All that can be computed here."""
        with self._lock:
            return [
                version.whole
                for version in (*self._ready.values(), *(leaving.version for leaving in self._leaving.values()))
            ]

    def states(self) -> list[ModelState]:
        """Of every folder, and of versions that are leaving, by name."""
        with self._lock:
            sent, ready = self._wishes.sent, self._ready.items()
            found = [state_of(name, version, "ready", self._sent(name, version)) for name, version in ready]
            found += [
                state_of(one.version.whole.folder.name, one.version, "leaving", None) for one in self._leaving.values()
            ]
            found += [
                ModelState(name=name, state="loading", reason=reason, sent=sent(name))
                for name, reason in self._loading.items()
                if name not in self._ready
            ]
            found += [
                ModelState(name=name, state="failed", reason=reason, sent=sent(name))
                for name, reason in (self._failed | dict(self._wishes.failed)).items()
                if self._serves(name)
            ]
            found += [
                ModelState(name=name, state="unloaded", reason="it was unloaded; load it, and it is served again")
                for name in self._unloaded
            ]
        return sorted(found, key=lambda one: (one.name, one.digest or ""))

    def _sent(self, name: str, version: Version) -> str | None:
        here = self._wishes.folders.get(name) == version.whole.folder.path
        return self._wishes.sent(name) if here else None

    def round(self, wishes: Wishes) -> bool:
        """Look at every folder once, and hear of those that are read; whether to look again at once."""
        before = self.states()
        with self._lock:
            self._wishes = wishes
        paths = self._paths(wishes)
        self._unload(paths, wishes)
        waiting = self._waiting(paths, wishes)
        for path, now, outcome in self._reader.poll(0.1 if self._reader.busy else 0):
            self._settle(path, now, outcome)
            if isinstance(outcome, Whole):
                self._reader.kept.remember(outcome)
        self._let_go()
        if self.states() != before or not self.looked:
            self.looked = True
            self.changed.set()
        return waiting or self._reader.busy or bool(self._doubt)

    def _paths(self, wishes: Wishes) -> dict[str, Path]:
        try:
            found = {path.name: path for path in find_folders(self.models)}
        except InvalidFolder as error:  # a mount that is away takes nothing out of service
            self._log("", error.detail)
            found = {name: path for name, (path, *_) in self._read.items() if path.parent == self.models}
        found |= {name: path for name, path in wishes.folders.items() if name not in wishes.failed}
        return {name: path for name, path in found.items() if self._serves(name)}

    def _unload(self, paths: Mapping[str, Path], wishes: Wishes) -> None:
        """What has gone, or is not to be served, leaves."""
        with self._lock:
            self._unloaded = frozenset(wishes.unloaded & paths.keys())
            gone = self._read.keys() | self._loading.keys() | self._failed.keys()
            for name in gone - (paths.keys() - self._unloaded):
                for known in (self._read, self._loading, self._failed, self._doubt, self._told, self._again):
                    known.pop(name, None)
                if (version := self._ready.pop(name, None)) is not None:
                    self._leave(version, REMOVED_S)

    def _waiting(self, paths: Mapping[str, Path], wishes: Wishes) -> bool:
        """Begin to read what is new or has changed, as far as there is room; whether some wait."""
        waiting = False
        self._changes.forget(paths.values())
        for name, path in paths.items():
            now = signature(path)
            if not now and not path.parent.exists():
                continue
            number = wishes.reloads.get(name, 0)
            due = self._again.get(name, math.inf) < time.monotonic()
            same = self._read.get(name) == (path, now, number)
            if name in self._unloaded or (same and not due) or self._reader.reads(path):
                continue
            since = self._changes.since(path, now, first=not self.looked)
            if not (still := time.monotonic() - since > STILL_S) or not self._reader.room:
                self._await(name, None if still else COMING + "they are being written")
                waiting = True
                continue
            again = due or (name in self._read and self._read[name][2] != number)
            self._read[name] = path, now, number
            self._doubt.pop(name, None)
            if not again and (whole := self._reader.kept.last(path, now)) is not None:
                self._settle(path, now, whole)
                continue
            if not (same and due):
                self._await(name, None)
            self._again.pop(name, None)
            self._reader.start(path, now)
        return waiting

    def _await(self, name: str, reason: str | None) -> None:
        """A name is loading; the version that it had is computed on where that can be done."""
        with self._lock:
            self._failed.pop(name, None)
            self._loading[name] = reason
            version = self._ready.get(name)
            if version is not None and not version.there and not self._held(version.digest):
                del self._ready[name]

    def _settle(self, path: Path, now: Signature, outcome: Whole | ModelError) -> None:
        name = path.name
        if self._read.get(name, (None,))[0] != path or signature(path) != now:
            return  # it has gone meanwhile, or is to be read again
        if may_change(outcome):
            self._again[name] = time.monotonic() + (AWAY_S if isinstance(outcome, ModelError) else SERVER_S)
        if isinstance(outcome, ModelError):
            until = self._changes.since(path, now, first=not self.looked) + DOUBT_S
            if time.monotonic() < until:
                self._doubt[name] = until, outcome.detail
                self._await(name, COMING + outcome.detail)
            else:
                self._fail(name, outcome.detail)
            return
        with self._lock:
            old = self._ready.get(name)
            switched = self._last.get(name, outcome.folder.digest) != outcome.folder.digest
            self._last[name] = outcome.folder.digest
            self._leaving.pop(outcome.folder.digest, None)
            since = (
                old.since if old is not None and not switched else self._began(name, outcome.folder.digest, switched)
            )
            self._ready[name] = Version(outcome, since)
            self._loading.pop(name, None)
            self._failed.pop(name, None)
            self._told.pop(name, None)
            if old is not None and switched:
                self._leave(old, REPLACED_S)
            others = otherwise_labelled(self._ready, outcome)
        log.info("a model is ready", model=name, digest=outcome.folder.digest)
        if others:
            log.warning("models are one net with other labels, and share explanations", model=name, others=others)

    def _fail(self, name: str, reason: str) -> None:
        """A folder is wrong. The version that was there before is served on, as long as it can be computed."""
        with self._lock:
            self._loading.pop(name, None)
            self._failed[name] = reason
            version = self._ready.get(name)
            if version is not None and not version.there and not self._held(version.digest):
                del self._ready[name]
        self._log(name, reason)

    def _leave(self, version: Version, seconds: float) -> None:
        if any(other.digest == version.digest for other in self._ready.values()):
            return
        if version.there or self._held(version.digest):
            self._leaving[version.digest] = Leaving(version, time.monotonic(), seconds)

    def _let_go(self) -> None:
        """Of what is leaving, what nobody asks for; of doubts, those that have lasted."""
        now, gone = time.monotonic(), []
        with self._lock:
            for digest, one in list(self._leaving.items()):
                computable = one.version.there or self._held(digest)
                if not computable or (now - one.last > one.seconds and not self._waits(digest)):
                    del self._leaving[digest]
                    gone.append(digest)
            for name, (until, reason) in list(self._doubt.items()):
                if now > until:
                    del self._doubt[name]
                    self._fail(name, reason)
        for digest in gone:  # outside of the lock: who holds models asks us what is pinned
            if self.holder is not None:
                self.holder.forget(digest)

    def _held(self, digest: str) -> bool:
        return self.holder is not None and self.holder.holds(digest)

    def _log(self, name: str, reason: str) -> None:
        if self._told.get(name) != reason:
            log.error("a model folder is wrong", model=name, reason=reason)
        self._told[name] = reason
