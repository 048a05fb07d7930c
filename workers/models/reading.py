"""Model folders are read and loaded for the first time in processes of their own, with limits, one each.

A server that has torch already forks one for each folder, which costs no start of its own. What comes back is JSON:
what the folder is, and its card, unless that is kept from before; then the model is not loaded.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.process
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from workers.explanation.card import ModelCard
from workers.explanation.errors import InvalidFolder, ModelError, PickledPayload, PredictorAway
from workers.models import process_limits
from workers.models.card_file import FILE, read_card
from workers.models.folder import Folder, find_folders, read_folder
from workers.models.kept_cards import FOLDER, KeptCards, Signature, Whole, name_of
from workers.models.source import parse_source

if TYPE_CHECKING:
    from workers.engine.model.function import Function

AT_ONCE = 2  # folders that are read at the same time,
PATIENCE_S = 5.0  # but one that takes longer does not keep the next waiting,
MOST = 8  # up to so many
MEMORY = 4 * 2**30  # bytes that reading may take,
PER_BYTE = 8  # and so many for each byte of the folder's files
KNOWN, UNKNOWN = b"known", b"unknown"
NEEDED = (__name__, "workers.models.loading", "workers.methods.catalogue", "workers.models.export.warm_up")
FAULTS = {kind.code: kind for kind in (ModelError, InvalidFolder, PickledPayload, PredictorAway)}

Outcome: TypeAlias = Whole | ModelError
Describe: TypeAlias = "Callable[[Function], ModelCard]"

_server = multiprocessing.get_context("forkserver")


def warm_up(models: Path, *modules: str) -> bool:
    """Start the server now, that it imports torch, and these, while others do; whether it was.

    Where all folders are what they were when they were last read, none is read: then it starts when one is.
    """
    from multiprocessing import forkserver

    _server.set_forkserver_preload([*NEEDED, *modules])
    needed = _any_new(models)
    if needed:
        forkserver.ensure_running()
    return needed


def _any_new(models: Path) -> bool:
    kept = KeptCards(models, lambda _: None, lambda *_: None)
    try:
        return any(kept.last(path, signature(path)) is None for path in find_folders(models))
    except InvalidFolder:
        return False


@dataclass
class _Running:
    path: Path
    signature: Signature
    process: ForkServerProcess
    began: float
    folder: Folder | None = None


class Reader:
    """Reads folders in processes of their own, a few at a time: `start` one while there is `room`, and `poll`.

    `limit`: seconds that one folder may take, by the clock and of the processor. `describe` makes the card of a model,
    there; it is a function of a module.
    """

    def __init__(self, limit: int, describe: Describe, kept: KeptCards) -> None:
        self.limit = limit
        self.describe = describe
        self.kept = kept
        self._running: dict[Connection, _Running] = {}

    @property
    def room(self) -> bool:
        """Whether another may start now."""
        now = time.monotonic()
        young = [one for one in self._running.values() if now - one.began < PATIENCE_S]
        return len(young) < AT_ONCE and len(self._running) < MOST

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def reads(self, path: Path) -> bool:
        """Whether this folder is being read."""
        return any(one.path == path for one in self._running.values())

    def start(self, path: Path, now: Signature) -> None:
        """Begin to read a folder whose files have this signature."""
        ours, theirs = _server.Pipe()
        memory = MEMORY + PER_BYTE * sum(size for _, size, *_ in now)
        with _as_main():
            arguments = (theirs, path, self.limit, memory, self.describe)
            process = _server.Process(target=_read, args=arguments, daemon=True)
            process.start()
        theirs.close()
        self._running[ours] = _Running(path, now, process, time.monotonic())

    def poll(self, seconds: float) -> Iterator[tuple[Path, Signature, Outcome]]:
        """What became of folders, of those that are done within so many seconds."""
        for connection in wait(list(self._running), timeout=seconds):
            assert isinstance(connection, Connection)
            one = self._running[connection]
            if (outcome := self._heard(connection, one)) is not None:
                yield one.path, one.signature, self._ended(connection, outcome)
        for connection, one in list(self._running.items()):
            if time.monotonic() - one.began > self.limit:
                late = InvalidFolder(f"{one.path.name}: reading it took longer than {self.limit} s, and was ended")
                yield one.path, one.signature, self._ended(connection, late)

    def end(self) -> None:
        """End those that still run."""
        for connection in list(self._running):
            self._ended(connection, InvalidFolder("ended"))

    def _ended(self, connection: Connection, outcome: Outcome) -> Outcome:
        _end(self._running.pop(connection).process, connection)
        return outcome

    def _heard(self, connection: Connection, one: _Running) -> Outcome | None:
        """What the process says: what the folder is first, and its card where we have none."""
        try:
            answer = orjson.loads(connection.recv_bytes(2**26))
            if "folder" in answer:
                one.folder = FOLDER.validate_python(answer["folder"], strict=False)
                card = self.kept.find(one.folder)
                if card is None:
                    connection.send_bytes(UNKNOWN)
                    return None
                connection.send_bytes(KNOWN)
                return Whole(one.folder, card, name_of(one.folder), one.signature)
            if "card" in answer and one.folder is not None:
                card = ModelCard.model_validate(answer["card"])
                self.kept.keep(one.folder, card)
                return Whole(one.folder, card, name_of(one.folder), one.signature)
        except (EOFError, OSError, ValueError):
            one.process.join(5)
            return InvalidFolder(f"{one.path.name}: {_death(one.process.exitcode, self.limit)}")
        return FAULTS.get(answer["code"], InvalidFolder)(answer["detail"])


def signature(path: Path) -> Signature:
    """Name, size, time and inode of each file of a folder, the first thousand."""
    found = []
    for place, folders, files in os.walk(path):
        folders.sort()
        for file in sorted(files):
            with contextlib.suppress(OSError):
                stat = os.stat(os.path.join(place, file))
                name = os.path.relpath(os.path.join(place, file), path)
                found.append((name, stat.st_size, stat.st_mtime_ns, stat.st_ino))
            if len(found) >= 1000:
                return tuple(found)
    return tuple(found)


def may_change(outcome: Outcome) -> bool:
    """Whether it hangs on more than the folder's files: on what a server says."""
    return isinstance(outcome, PredictorAway) or (isinstance(outcome, Whole) and outcome.folder.source.remote)


class _Main(multiprocessing.process.BaseProcess):
    """What multiprocessing says of a program's first process."""

    def __init__(self) -> None:
        self._identity, self._name, self._parent_pid, self._popen, self._closed = (), "MainProcess", None, None, False
        key = vars(multiprocessing.process)["AuthenticationString"](os.urandom(32))
        self._config = {"authkey": key, "semprefix": "/mp"}


@contextlib.contextmanager
def _as_main() -> Iterator[None]:
    """A process of Celery's pool passes for one of multiprocessing's own that may start no others; ours end with it."""
    state: dict[str, Any] = vars(multiprocessing.process)
    before = state["_current_process"]
    state["_current_process"] = _Main()
    try:
        yield
    finally:
        state["_current_process"] = before


def _end(process: ForkServerProcess, connection: Connection) -> None:
    connection.close()
    process.kill()
    process.join(5)


def _death(code: int | None, limit: int) -> str:
    if code == -signal.SIGXCPU:
        return f"reading it took more than {limit} s of the processor, and was ended"
    if code == -signal.SIGKILL:
        return "the process that read it was killed, as the system does where memory is short"
    ended = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return f"the process that read it died ({ended})"


def _read(connection: Connection, path: Path, limit: int, memory: int, describe: Describe) -> None:
    """In the process of its own: says what the folder is, and what its card is, or what is wrong with it."""
    _quiet()
    process_limits.hold(limit, memory)
    try:
        for answer in _answers(path, connection, describe):
            connection.send_bytes(orjson.dumps(answer))
    finally:
        connection.close()


def _answers(path: Path, connection: Connection, describe: Describe) -> Iterator[dict[str, Any]]:
    from workers.models.loading import load

    try:
        if _is_archive(path):
            process_limits.shut()
        folder = read_folder(path)
        yield {"folder": FOLDER.dump_python(folder, mode="json")}
        if connection.recv_bytes() == UNKNOWN:
            yield {"card": describe(load(folder)).model_dump(mode="json")}
    except ModelError as error:
        yield {"code": error.code, "detail": error.detail[:2000]}
    except MemoryError:
        detail = "reading it wants more memory than it may have; is a size in it wrong?"
        yield {"code": InvalidFolder.code, "detail": f"{path.name}: {detail}"}
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        yield {"code": InvalidFolder.code, "detail": f"{path.name}: the model cannot be loaded ({what})"}


def _is_archive(path: Path) -> bool:
    where = f"{path.name}/{FILE}"
    return parse_source(read_card(path / FILE, where).model.source, where).kind == "archive"


def _quiet() -> None:
    """What libraries print is lost, for the reason comes back in one line; Ctrl-C is the worker's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.nice(5)
