"""Model folders are read and loaded for the first time in processes of their own, with limits, one each.

A server that has torch already forks one for each folder, which costs no start of its own. What comes back is JSON.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.process
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from pydantic import TypeAdapter

from workers.explanation.errors import InvalidFolder, ModelError, PickledPayload, PredictorAway
from workers.models import process_limits
from workers.models.card_file import FILE, read_card
from workers.models.folder import Folder, read_folder
from workers.models.repository import Outcome
from workers.models.source import parse_source

AT_ONCE = 2  # folders that are read at the same time,
PATIENCE_S = 5.0  # but one that takes longer does not keep the next waiting,
MOST = 8  # up to so many
MEMORY = 4 * 2**30  # bytes that reading may take,
PER_BYTE = 8  # and so many for each byte of the folder's files
FOLDER: TypeAdapter[Folder] = TypeAdapter(Folder)
FAULTS = {kind.code: kind for kind in (ModelError, InvalidFolder, PickledPayload, PredictorAway)}

Signature: TypeAlias = tuple[tuple[str, int, int, int], ...]

_server = multiprocessing.get_context("forkserver")


def warm_up() -> None:
    """Start the server now, that it imports torch while others do."""
    from multiprocessing import forkserver

    _server.set_forkserver_preload(["workers.methods.catalogue", "workers.models.export.warm_up"])
    forkserver.ensure_running()


@dataclass
class _Running:
    path: Path
    signature: Signature
    process: ForkServerProcess
    began: float


class Reader:
    """Reads folders in processes of their own; what has not changed since is not read again.

    `limit`: seconds that one folder may take, by the clock and of the processor.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: dict[Path, tuple[Signature, Outcome]] = {}

    def __call__(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Outcome]]:
        """What became of each folder, those known first, the others as they are done."""
        waiting: deque[tuple[Path, Signature]] = deque()
        for path in paths:
            now = signature(path)
            if path in self._known and self._known[path][0] == now:
                yield path, self._known[path][1]
            else:
                waiting.append((path, now))
        running: dict[Connection, _Running] = {}
        try:
            while waiting or running:
                while waiting and _room(running):
                    connection, one = self._start(*waiting.popleft())
                    running[connection] = one
                for done in self._done(running):
                    one = running.pop(done)
                    outcome = self._outcome(done, one)
                    if not _may_change(outcome):
                        self._known[one.path] = one.signature, outcome
                    yield one.path, outcome
        finally:
            for connection, one in running.items():
                _end(one.process, connection)

    def _start(self, path: Path, now: Signature) -> tuple[Connection, _Running]:
        ours, theirs = _server.Pipe(duplex=False)
        memory = MEMORY + PER_BYTE * sum(size for _, size, *_ in now)
        with _as_main():
            process = _server.Process(target=_read, args=(theirs, path, self.limit, memory), daemon=True)
            process.start()
        theirs.close()
        return ours, _Running(path, now, process, time.monotonic())

    def _done(self, running: dict[Connection, _Running]) -> list[Connection]:
        """Those that answered, died, or are late; after a while none, for then it may be another's turn."""
        done = [one for one in wait(list(running), timeout=PATIENCE_S / 10) if isinstance(one, Connection)]
        late = [one for one in running if one not in done and time.monotonic() - running[one].began > self.limit]
        return done + late

    def _outcome(self, connection: Connection, one: _Running) -> Outcome:
        name = one.path.name
        try:
            if not connection.poll():
                return InvalidFolder(f"{name}: reading it took longer than {self.limit} s, and was ended")
            answer = orjson.loads(connection.recv_bytes(2**26))
        except (EOFError, OSError, ValueError):
            one.process.join(5)
            return InvalidFolder(f"{name}: {_death(one.process.exitcode, self.limit)}")
        finally:
            _end(one.process, connection)
        if "folder" in answer:
            return FOLDER.validate_python(answer["folder"], strict=False)
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


def _may_change(outcome: Outcome) -> bool:
    """Whether it hangs on more than the folder's files: on what a server says."""
    return isinstance(outcome, PredictorAway) or (
        isinstance(outcome, Folder) and outcome.remote is not None and outcome.remote.version is None
    )


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


def _room(running: dict[Connection, _Running]) -> bool:
    now = time.monotonic()
    young = [one for one in running.values() if now - one.began < PATIENCE_S]
    return len(young) < AT_ONCE and len(running) < MOST


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


def _read(connection: Connection, path: Path, limit: int, memory: int) -> None:
    """In the process of its own: says what the folder is, or what is wrong with it."""
    _quiet()
    process_limits.hold(limit, memory)
    connection.send_bytes(orjson.dumps(_answer(path)))
    connection.close()


def _answer(path: Path) -> dict[str, Any]:
    from workers.models.loading import load

    try:
        if _is_archive(path):
            process_limits.shut()
        folder = read_folder(path)
        if not folder.source.remote:  # what a server serves is asked for by who serves it on
            load(folder)
        return {"folder": FOLDER.dump_python(folder, mode="json")}
    except ModelError as error:
        return {"code": error.code, "detail": error.detail[:2000]}
    except MemoryError:
        detail = "reading it wants more memory than it may have; is a size in it wrong?"
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        detail = f"the model cannot be loaded ({what})"
    return {"code": InvalidFolder.code, "detail": f"{path.name}: {detail}"}


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
