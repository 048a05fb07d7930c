"""`whence up`: Redis, workers and the API as supervised children of one process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from redis.exceptions import RedisError

from service.cli.local.gpus import DEVICE, found, share
from service.cli.local.redis_binary import CACHE, JOBS, embedded_redis
from service.cli.local.supervisor import Child, Say, Supervisor
from service.http.errors import ModelLoading
from workers.contract import Precision, WrongAddress, async_client, checked_redis_url

# glibc gives freed tensors back to the kernel by default and faults the pages in again for each pass.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
# NumPy's threads spin for 26 ms after each product that they shared: time of whoever else would compute on that core.
BLAS_THREADS = "OPENBLAS_NUM_THREADS"
REDIS_PATIENCE = 10.0
READY = "ready"
MODULE = (sys.executable, "-P", "-m")  # -P: a folder named `workers` where the user stands is not ours


class CannotStart(Exception):
    """Something that the user can put right stands in the way."""


@dataclass(frozen=True)
class Plan:
    """What `whence up` runs; `redis_url` None starts Redis too; `device`, `precision` None: as the environment says.

    All `api_workers` listen on the one port.
    """

    models: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    redis_url: str | None = None
    verbose: bool = False
    patience: float = 180.0
    api_workers: int = 1
    device: str | None = None
    precision: Precision | None = None

    def url(self) -> str:
        """Where a client on this machine finds the API."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def check(plan: Plan) -> None:
    """Raises CannotStart where the plan cannot work: no folder of models, port taken."""
    if not plan.models.is_dir():
        raise CannotStart(
            f"there is no folder {plan.models}: it holds a folder for each model, and may be empty "
            "at first; make it, or name another with --models"
        )
    try:
        if plan.redis_url is not None:
            checked_redis_url(plan.redis_url)
    except WrongAddress as error:
        raise CannotStart(f"--redis-url: {error}") from None
    family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((plan.host, plan.port))
        except OSError as error:
            reason = error.strerror or "it cannot be bound"
            raise CannotStart(f"cannot listen on {plan.host} port {plan.port}: {reason}; choose with --port") from None


def run(plan: Plan, say: Say, on_ready: Callable[[str], None]) -> None:
    """Run until a signal comes; `on_ready(url)` is called once the API answers.

    Raises CannotStart, NoRedis, and GaveUp where a child cannot be kept alive.
    """
    with tempfile.TemporaryDirectory(prefix="whence-", ignore_cleanup_errors=True) as folder:
        asyncio.run(_run(plan, Path(folder), say, on_ready))


async def _run(plan: Plan, folder: Path, say: Say, on_ready: Callable[[str], None]) -> None:
    async def start(supervisor: Supervisor) -> None:
        if plan.redis_url is None:
            stores = [embedded_redis("redis", folder, JOBS), embedded_redis("redis-cache", folder, CACHE)]
            supervisor.start(*(store.child for store in stores))
            jobs_url, cache_url = (store.url for store in stores)
            own = {"WHENCE_OBJECTS": os.environ.get("WHENCE_OBJECTS", str(folder / "objects"))}
        else:
            jobs_url = plan.redis_url
            cache_url, own = os.environ.get("WHENCE_CACHE_URL", jobs_url), {}
        await _until(lambda: _answers(jobs_url), REDIS_PATIENCE, "Redis did not answer; is --redis-url right?")
        env = environment(plan, jobs_url, cache_url) | own
        workers = (_worker(number, plan, env) for number in range(plan.workers))
        supervisor.start(*workers, *(_api(number, plan, env) for number in range(plan.api_workers)))
        await _until_ready(plan)
        await asyncio.to_thread(on_ready, plan.url())

    await Supervisor(folder, say).run(start)


def environment(plan: Plan, jobs_url: str, cache_url: str) -> dict[str, str]:
    """What the children are told, on top of our own environment."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // plan.workers))
    return {
        **MALLOC,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        BLAS_THREADS: os.environ.get(BLAS_THREADS, "1"),
        "PYTHONUNBUFFERED": "1",
        # Celery warns root of pickled messages; ours are JSON.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
        "WHENCE_CACHE_URL": cache_url,
        "WHENCE_LOG_JSON": "false",
        "WHENCE_LOG_LEVEL": "INFO" if plan.verbose else "WARNING",
        "WHENCE_MODELS": str(plan.models.resolve()),
        "WHENCE_REDIS_URL": jobs_url,
        "WHENCE_WORKERS": str(plan.workers),
        **({DEVICE: plan.device} if plan.device else {}),
        **({"WHENCE_PRECISION": plan.precision} if plan.precision else {}),
    }


def _worker(number: int, plan: Plan, env: Mapping[str, str]) -> Child:
    name = "worker" if plan.workers == 1 else f"worker-{number + 1}"
    return Child(name, [*MODULE, "workers"], {**env, **share(number, found(os.environ)), **_metrics_port(number)})


def _metrics_port(number: int) -> dict[str, str]:
    """Of each worker its own: the one that is set, and those after it."""
    first = os.environ.get("WHENCE_METRICS_PORT", "")
    return {"WHENCE_METRICS_PORT": str(int(first) + number)} if first.isdecimal() else {}


def _api(number: int, plan: Plan, env: dict[str, str]) -> Child:
    command = [*MODULE, "service", "--host", plan.host, "--port", str(plan.port)]
    if plan.api_workers == 1:
        return Child("api", command, env)
    return Child(f"api-{number + 1}", [*command, "--share-port"], env)


async def _until(check: Callable[[], Awaitable[bool]], seconds: float, otherwise: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await check():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise CannotStart(otherwise) from None


async def _until_ready(plan: Plan) -> None:
    """However long models are loading: each has a limit of its own, after which it has failed."""
    latest = time.monotonic() + plan.patience
    while (told := await _told(plan.url())) != READY:
        if told == ModelLoading.code:
            latest = time.monotonic() + plan.patience
        if time.monotonic() > latest:
            raise CannotStart(f"not ready after {plan.patience:g} s; --verbose shows what the workers and the API say")
        await asyncio.sleep(0.1)


async def _answers(url: str) -> bool:
    client = async_client(url, most=1, timeout=2, socket_connect_timeout=2, socket_timeout=2)
    try:
        await client.ping()
    except (RedisError, OSError):
        return False
    else:
        return True
    finally:
        await client.aclose()


async def _told(url: str) -> str:
    """READY, or the code of what the API waits for; "" while there is no answer."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            answer = await client.get(f"{url}/readyz")
            return READY if answer.is_success else str(answer.json().get("code", ""))
    except (httpx.HTTPError, ValueError):
        return ""
