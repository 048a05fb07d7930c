"""What is too large for Redis: blobs named by the hash of their bytes, in a folder or any store that fsspec reaches."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import structlog
from fsspec.core import url_to_fs

Kind: TypeAlias = Literal["results", "inputs", "models"]

SMALLEST = 2**20
DRAFT_S = 3600  # a draft that old has lost its writer
USED = ("mtime", "LastModified", "last_modified", "updated", "created")  # what stores call the time of the last use

log = structlog.get_logger()


class ObjectsAway(OSError):
    """The store of large things does not answer; what it holds may be there all the same."""


class _Blob(NamedTuple):
    used: float
    kind: Kind
    size: int
    place: str


class Objects:
    """Blobs of at least `smallest` bytes under `url`, a folder or an fsspec URL; without one, nothing is taken.

    A blob is seen whole or not at all; one whose bytes no longer have the hash that it is named by counts as gone.
    """

    def __init__(self, url: str | None, smallest: int = SMALLEST) -> None:
        self.fs: Any = None
        self.root = ""
        if url:
            self.fs, self.root = url_to_fs(url)
        self.smallest = smallest

    @property
    def open(self) -> bool:
        return self.fs is not None

    def takes(self, data: bytes) -> bool:
        """Whether the bytes are too large for Redis."""
        return self.open and len(data) >= self.smallest

    def take(self, kind: Kind, data: bytes) -> str | None:
        """Keep what is large, and give its name; None for what belongs in Redis, or has to go there as this fails."""
        if not self.takes(data):
            return None
        try:
            return self.put(kind, data)
        except ObjectsAway as away:
            log.error("a blob could not be written; Redis has to take it", kind=kind, error=str(away))
            return None

    def put(self, kind: Kind, data: bytes) -> str:
        """The name under which the bytes now lie; raises ObjectsAway."""
        return self._put(kind, hashlib.sha256(data).hexdigest(), lambda draft: self.fs.pipe_file(draft, data))

    def put_file(self, kind: Kind, path: Path) -> str:
        """As `put`, of a file that may not fit into memory."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return self._put(kind, digest, lambda draft: self.fs.put_file(str(path), draft))

    def _put(self, kind: Kind, digest: str, write: Callable[[str], object]) -> str:
        place = f"{self.root}/{kind}/{digest}"
        draft = f"{place}.{uuid.uuid4().hex}.part"
        with _reached():
            try:
                self._store().makedirs(f"{self.root}/{kind}", exist_ok=True)
                write(draft)
                self.fs.mv(draft, place)
            except BaseException:
                with contextlib.suppress(Exception):
                    self.fs.rm_file(draft)
                raise
        return f"{kind}/{digest}"

    def get_file(self, name: str, path: Path) -> bool:
        """Write the bytes to a file; False where they are gone, or are not those of the name. Raises ObjectsAway."""
        with _reached():
            try:
                self._store().get_file(f"{self.root}/{name}", str(path))
            except FileNotFoundError:
                return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == name.rpartition("/")[2]

    def remove(self, name: str, unused: float = 0.0) -> None:
        """The bytes are not needed any more, unless they were used within so many seconds; raises ObjectsAway."""
        place = f"{self.root}/{name}"
        with _reached(), contextlib.suppress(FileNotFoundError):
            store = self._store()
            store.invalidate_cache()
            if not unused or time.time() - _used(store.info(place)) > unused:
                self._remove(place)

    def get(self, name: str) -> bytes | None:
        """The bytes; None where they are gone. Raises ObjectsAway."""
        place = f"{self.root}/{name}"
        with _reached():
            try:
                data: bytes = self._store().cat_file(place)
            except FileNotFoundError:
                return None
            if hashlib.sha256(data).hexdigest() != name.rpartition("/")[2]:
                log.error("a blob is broken, and removed", place=place, bytes=len(data))
                self._remove(place)
                return None
            self._touch(place)
        return data

    def renew(self, name: str) -> bool:
        """Count the blob as used now; False where it is gone. Raises ObjectsAway."""
        place = f"{self.root}/{name}"
        with _reached():
            there: bool = self._store().exists(place)
            if there:
                self._touch(place)
        return there

    def sweep(self, ttl: Mapping[Kind, float], space: int) -> int:
        """Remove what nobody used for its kind's seconds, then the least recently used until `space` bytes suffice.

        Gives the number of blobs removed; raises ObjectsAway.
        """
        if self.fs is None:
            return 0
        now, removed = time.time(), 0
        with _reached():
            self.fs.invalidate_cache()
            blobs = sorted(self._blobs(ttl))
            total = sum(blob.size for blob in blobs)
            for old in (True, False):
                for blob in [one for one in blobs if (now - one.used > ttl[one.kind]) == old]:
                    if old or total > space:
                        self._remove(blob.place)
                        total -= blob.size
                        removed += 1
        return removed

    def _store(self) -> Any:
        if self.fs is None:
            raise LookupError("a blob is asked for, and WHENCE_OBJECTS is not set here")
        return self.fs

    def _blobs(self, kinds: Mapping[Kind, float]) -> Iterator[_Blob]:
        """What lies there; drafts that have lost their writer are removed on the way."""
        for kind in kinds:
            try:
                entries = self.fs.ls(f"{self.root}/{kind}", detail=True)
            except FileNotFoundError:
                continue
            for entry in entries:
                used = _used(entry)
                if not entry["name"].endswith(".part"):
                    yield _Blob(used, kind, int(entry["size"] or 0), entry["name"])
                elif time.time() - used > DRAFT_S:
                    self._remove(entry["name"])

    def _remove(self, place: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(place)

    def _touch(self, place: str) -> None:
        # Some stores cannot; there, the time of writing stands for the time of use.
        with contextlib.suppress(NotImplementedError, ValueError, OSError):
            self.fs.touch(place, truncate=False)


def _used(entry: Mapping[str, Any]) -> float:
    when = next((entry[name] for name in USED if name in entry), time.time())
    return when.timestamp() if isinstance(when, datetime) else float(when)


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    """Every store has exceptions of its own; outside there is one."""
    try:
        yield
    except Exception as error:
        raise ObjectsAway(f"{type(error).__name__}: {error}") from error
