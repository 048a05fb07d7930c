"""What was asked of the repository over HTTP, as a worker carries it out: folders sent, unloaded names, reloads."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import structlog
from redis import Redis

from workers.explanation.errors import ExplainError
from workers.jobs import keys
from workers.jobs.blobs import Objects, ObjectsAway
from workers.jobs.disk import no_room
from workers.models.kept_cards import PLACE
from workers.models.sent import unpack
from workers.models.versions import Wishes

OLD_S = 3600.0  # that a folder nobody serves any more stays
NO_ROOM = "there is no room on the worker's disk to unpack it; whoever runs this Whence can make some"
AGAIN_S = 5.0  # after which what could not be fetched is tried again

log = structlog.get_logger()


class Asked:
    """Reads wishes from Redis, and fetches what was sent: each upload becomes a folder of its own, below `models`.

    `most`: bytes that one may unpack to. `used()` are the folders that something is computed of.
    """

    def __init__(self, jobs: Redis, objects: Objects, models: Path, most: int, used: Callable[[], list[Path]]) -> None:
        self.jobs = jobs
        self.objects = objects
        self.most = most
        self.used = used
        self._root = _writable(models)
        self._loads: dict[str, int] | None = None
        self._failed: dict[tuple[str, str], tuple[float, str]] = {}

    def wishes(self) -> tuple[Wishes, list[str]]:
        """The wishes as they are now, and the names that were to be loaded since the last time.

        Raises RedisError.
        """
        with self.jobs.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.UPLOADS)
            pipe.smembers(keys.UNLOADED)
            pipe.hgetall(keys.RELOADS)
            pipe.hgetall(keys.LOADS)
            uploads, unloaded, reloads, loads = pipe.execute()
        sent = {name.decode(): place.decode() for name, place in uploads.items()}
        folders, failed = self._folders(sent)
        now = _numbers(loads)
        before = now if self._loads is None else self._loads
        self._loads = now
        wanted = [name for name, number in now.items() if before.get(name) != number]
        names = frozenset(cast(bytes, name).decode() for name in unloaded)
        return Wishes(folders, names, _numbers(reloads), failed), wanted

    def _folders(self, sent: Mapping[str, str]) -> tuple[dict[str, Path], dict[str, str]]:
        folders, failed = {}, {}
        for name, place in sent.items():
            folder = self._root / place.rpartition("/")[2][:16] / name
            folders[name] = folder
            if not folder.exists() and (reason := self._fetch(name, place, folder)):
                failed[name] = reason
        self._sweep({folder.parent for folder in (*folders.values(), *self.used())})
        return folders, failed

    def _fetch(self, name: str, place: str, folder: Path) -> str | None:
        """Why what was sent is not there, where it is not."""
        until, reason = self._failed.get((name, place), (0.0, ""))
        if time.monotonic() < until:
            return reason
        try:
            for ours in (self._root.parent, self._root):
                ours.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._root) as draft:
                packed = Path(draft) / "sent"
                if not self.objects.get_file(place, packed):
                    raise ObjectsAway("what was sent is no longer there; send it again")
                unpack(packed, Path(draft) / name, self.most)
                folder.parent.mkdir(exist_ok=True)
                (Path(draft) / name).replace(folder)
        except (ExplainError, OSError, LookupError) as error:
            if folder.exists():  # another worker of this machine was first
                return None
            reason = error.detail if isinstance(error, ExplainError) else NO_ROOM if no_room(error) else str(error)
            log.error("a model that was sent cannot be had", model=name, reason=reason)
            self._failed[name, place] = time.monotonic() + AGAIN_S, reason
            return reason
        return None

    def _sweep(self, used: set[Path]) -> None:
        """Workers of one machine share what was sent: each says what it uses by the folder's time."""
        found: list[Path] = []
        with contextlib.suppress(FileNotFoundError):  # somebody removed all that is ours beside the models
            found.extend(self._root.iterdir())
        for path in found:
            with contextlib.suppress(OSError):
                if path in used:
                    os.utime(path)
                elif time.time() - path.stat().st_mtime > OLD_S:
                    shutil.rmtree(path, ignore_errors=True)


def _numbers(raw: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(number) for name, number in raw.items()}


def _writable(models: Path) -> Path:
    """Where what is sent goes: beside the cards, or where that cannot be written in a folder of ours for all starts."""
    try:
        (models / PLACE / "sent").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=models / PLACE / "sent"):
            return models / PLACE / "sent"
    except OSError:
        return _own(Path(tempfile.gettempdir()) / f"whence-sent-{hashlib.sha256(bytes(models)).hexdigest()[:16]}")


def _own(place: Path) -> Path:
    """A folder that nobody else writes; of another name where somebody else has made one of this."""
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    there = place.lstat()
    if stat.S_ISDIR(there.st_mode) and there.st_uid == os.getuid() and not there.st_mode & 0o022:
        return place
    return Path(tempfile.mkdtemp(prefix="whence-sent-"))
