"""API keys in a file that holds only their hashes: made, listed, revoked, and recognised.

A key is `whence_<id>_<secret>`: the id finds its line, and the SHA-256 of the whole is compared in constant time. The
secret has 256 random bits, so that a slow hash would add nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Scope: TypeAlias = Literal["explain", "admin"]

LOOK_S = 1.0  # the file is looked at again after so long
_FORM = re.compile(r"whence_([0-9a-f]{12})_[0-9a-f]{64}")
_NOBODY = hashlib.sha256(b"").hexdigest()

log = structlog.get_logger()


class KeyFileError(Exception):
    """The file of keys cannot be read; the message says what is wrong."""


class Key(BaseModel):
    """What is kept of one key; `admin` may do all that `explain` may."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern="^[0-9a-f]{12}$")
    name: str = Field(min_length=1, max_length=100)
    scopes: frozenset[Scope]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    created_at: int

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()


class Keys:
    """The keys of a file, as they are now: who adds or revokes one need not restart anything.

    While the file cannot be read, the keys last read hold; raises KeyFileError where it cannot be read at first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._keys = {key.id: key for key in read(path)}
        self._looked = time.monotonic()

    def find(self, token: str) -> Key | None:
        """The key that a token is; None where it is none of them."""
        self._look()
        form = _FORM.fullmatch(token)
        key = self._keys.get(form[1]) if form else None
        same = hmac.compare_digest(_hash(token), key.sha256 if key else _NOBODY)
        return key if same else None

    def _look(self) -> None:
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        try:
            if (stamp := _stamp(self._path)) != self._stamp:
                self._keys = {key.id: key for key in read(self._path)}
                self._stamp = stamp
        except KeyFileError as error:
            log.error("the keys could not be read again; those last read hold", error=str(error))


def read(path: Path) -> tuple[Key, ...]:
    """Raises KeyFileError."""
    try:
        return _File.model_validate_json(path.read_bytes()).keys
    except OSError as error:
        raise KeyFileError(f"the keys in {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = "/".join(map(str, first["loc"]))
        raise KeyFileError(f"{path} is no file of keys: {first['msg']} at /{place}") from None


def add(path: Path, name: str, scopes: frozenset[Scope]) -> tuple[Key, str]:
    """A new key, and the token that is never seen again; the file is made where there is none."""
    identity = secrets.token_hex(6)
    token = f"whence_{identity}_{secrets.token_hex(32)}"
    key = Key(id=identity, name=name, scopes=scopes, sha256=_hash(token), created_at=int(time.time()))
    with _alone(path):
        _write(path, (*(read(path) if path.exists() else ()), key))
    return key, token


def revoke(path: Path, identity: str) -> Key | None:
    """The key that is no more; None where there was none of this id."""
    with _alone(path):
        keys = read(path)
        found = next((key for key in keys if key.id == identity), None)
        if found is not None:
            _write(path, tuple(key for key in keys if key is not found))
    return found


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One writer at a time, by a lock on the folder, for the file itself is replaced."""
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, keys: tuple[Key, ...]) -> None:
    """In place of the old, whole or not at all, for its owner's eyes alone."""
    with tempfile.NamedTemporaryFile("w", dir=path.absolute().parent, delete=False) as file:
        draft = Path(file.name)
        try:
            file.write(_File(keys=keys).model_dump_json(indent=2) + "\n")
            file.flush()
            if path.exists():
                draft.chmod(path.stat().st_mode & 0o777)  # the service may read it by its group
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise KeyFileError(f"the keys in {path} cannot be read: {error.strerror}") from None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
