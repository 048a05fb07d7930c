"""A whole Whence for a benchmark: `whence up` as users start it, on a Redis that the floor shares."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import httpx
from redis import Redis
from redis.exceptions import RedisError

from benchmarks import floor
from service.cli.local.redis_binary import CACHE, JOBS, embedded_redis, free_port

PATIENCE_S = 120.0
GRACE_S = 15.0
PYTHON = (sys.executable, "-m")
FLOOR = ("--factory", "benchmarks.floor:create_app", "--no-access-log", "--log-level", "warning")


@dataclass(frozen=True)
class Service:
    """A running service: its port, the floor's port, and the Redis of the results."""

    port: int
    floor: int
    cache: Redis


@contextmanager
def serving(models: Sequence[Path]) -> Iterator[Service]:
    """Redis, one worker, the API and the floor as processes of their own, with these model folders loaded."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="whence-bench-", ignore_cleanup_errors=True)))
        processes = stack.enter_context(Processes(folder / "log"))
        jobs, results = (embedded_redis(name, folder, kind) for name, kind in (("jobs", JOBS), ("results", CACHE)))
        for store in (jobs, results):
            processes.start(store.child.command)
        cache = stack.enter_context(Redis.from_url(results.url))
        processes.await_that(lambda: pings(cache))
        port, bare = free_port(), free_port()
        processes.start([*PYTHON, "uvicorn", *FLOOR, "--port", str(bare)], {floor.REDIS: results.url})
        up = ["--models", str(shelf(folder, models)), "--redis-url", jobs.url, "--port", str(port)]
        processes.start([*PYTHON, "service.cli.main", "up", *up], {"WHENCE_CACHE_URL": results.url})
        processes.await_that(lambda: serves(port, len(models)))
        processes.await_that(lambda: answer(bare, "/openapi.json") is not None)
        yield Service(port, bare, cache)


class Processes:
    """Children that end with the block, the last one first; what they say is shown where one does not become ready."""

    groups: ClassVar[list[int]] = []

    def __init__(self, log: Path) -> None:
        self.log = log
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Processes:
        signal.signal(signal.SIGTERM, self._killed)  # else they would outlive a benchmark that takes too long
        return self

    @classmethod
    def _killed(cls, *_: object) -> None:
        for group in cls.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        os._exit(128 + signal.SIGTERM)

    def __exit__(self, *error: object) -> None:
        for process in reversed(self._running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            with suppress(ProcessLookupError):  # LitServe leaves its own children behind
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def start(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        """The process group of the child, which is its own."""
        with self.log.open("ab") as log:
            whole = {**os.environ, **(env or {})}
            process = subprocess.Popen(command, env=whole, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._running.append(process)
        self.groups.append(process.pid)
        return process.pid

    def await_that(self, ready: Callable[[], bool]) -> None:
        """Raises TimeoutError with the children's last lines."""
        latest = time.monotonic() + PATIENCE_S
        while not ready():
            if time.monotonic() > latest:
                raise TimeoutError(
                    "not ready in time; last lines:\n" + "\n".join(self.log.read_text().splitlines()[-20:])
                )
            time.sleep(0.1)


def shelf(folder: Path, models: Sequence[Path]) -> Path:
    """A folder that holds just these models."""
    shelf = folder / "models"
    shelf.mkdir()
    for model in models:
        (shelf / model.name).symlink_to(model.resolve())
    return shelf


def pings(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def answer(port: int, path: str) -> httpx.Response | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
    except httpx.HTTPError:
        return None


def serves(port: int, models: int) -> bool:
    found, ready = answer(port, "/api/v1/models"), answer(port, "/readyz")
    if found is None or ready is None or not (found.is_success and ready.is_success):
        return False
    return len(found.json()["models"]) == models
