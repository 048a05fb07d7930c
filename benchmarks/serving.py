"""A whole Whence for a benchmark: `whence up` as users start it, on a Redis that the floor shares."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from redis import Redis
from redis.exceptions import RedisError

from benchmarks import floor
from service.redis_binary import CACHE, JOBS, embedded_redis, free_port

PATIENCE_S = 120.0


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
        shelf = folder / "models"
        shelf.mkdir()
        for model in models:
            (shelf / model.name).symlink_to(model.resolve())
        jobs, results = (embedded_redis(name, folder, kind) for name, kind in (("jobs", JOBS), ("results", CACHE)))
        for store in (jobs, results):
            _start(stack, store.child.command)
        cache = stack.enter_context(Redis.from_url(results.url))
        _until(lambda: _pings(cache))
        port, bare = free_port(), free_port()
        uvicorn = ["-m", "uvicorn", "--factory", "benchmarks.floor:create_app", "--port", str(bare)]
        quiet = ["--no-access-log", "--log-level", "warning"]
        _start(stack, [sys.executable, *uvicorn, *quiet], {floor.REDIS: results.url})
        up = ["-m", "service.cli", "up", "--port", str(port), "--models", str(shelf), "--redis-url", jobs.url]
        _start(stack, [sys.executable, *up], {"WHENCE_CACHE_URL": results.url})
        _until(lambda: _serves(port, len(models)))
        _until(lambda: _answer(bare, "/openapi.json") is not None)
        yield Service(port, bare, cache)


def _start(stack: ExitStack, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """A process that ends, at the latest, with the stack."""
    process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)


def _until(ready: Callable[[], bool]) -> None:
    latest = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > latest:
            raise TimeoutError("the service did not become ready; does `make run` work here?")
        time.sleep(0.1)


def _pings(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def _answer(port: int, path: str) -> httpx.Response | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
    except httpx.HTTPError:
        return None


def _serves(port: int, models: int) -> bool:
    answer = _answer(port, "/api/v1/models")
    return answer is not None and answer.is_success and len(answer.json()["models"]) == models
