"""Redis that answers and takes no writes: a replica, memory that is used up, a disk that is full, a failover."""

from __future__ import annotations

import contextlib
import itertools
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import pytest

from service.cli.local.redis_binary import free_port
from tests.faults.conftest import Fault
from tests.faults.house import SWEEP, House, until
from tests.faults.proxy import Proxy
from tests.redis_server import RedisServer
from tests.small_disk import filled, small_disk
from workers.jobs import keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

LONGER_S = 36.0  # than a watchdog bears work that waits
SHORTER_S = 10.0
LINES_A_SECOND = 10
NONCES = itertools.count(80_000)  # of inputs that no other test asks for


def refused(answer: httpx.Response, *codes: str) -> bool:
    """A problem that says that it is ours, for now, and when to come again."""
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), answer.text
    assert answer.json()["code"] in (codes or ("queue_unavailable",))
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.elapsed.total_seconds() < 15, "it hung"
    return True


def ready(house: House) -> httpx.Response:
    return house.client.get(f"http://127.0.0.1:{house.api_port}/readyz")


def look(house: House, stored: str, running: str, unwanted: str) -> None:
    """What reads is answered, what would have to write is refused."""
    refused(ready(house))
    refused(house.post(), "queue_unavailable", "queue_full")  # not that there is no worker, whose heartbeats it refuses
    withdrawn = house.client.delete(f"explanations/{unwanted}")  # which may free memory
    assert withdrawn.status_code in (202, 409) or refused(withdrawn)
    kept = house.client.get(f"explanations/{stored}")
    assert kept.status_code == 200, kept.text
    assert kept.json()["prediction"]
    state = house.client.get(f"explanations/{running}")
    assert state.status_code == 200 or refused(state, "result_store_full")
    listed = house.client.get("explanations")
    assert listed.status_code == 200, listed.text
    assert {stored, running} <= {one["id"] for one in listed.json()["explanations"]}
    with house.client.stream("GET", f"explanations/{running}/events") as events:
        assert events.status_code == 200
        assert next(events.iter_lines()).startswith(("event:", "data:", "id:"))


def survive(house: House, fault: Fault, worn_out: AbstractContextManager[object], seconds: float = SHORTER_S) -> None:
    """Through so many seconds of it; then all is as before, and by itself."""
    stored, nonce = house.ask(), float(next(NONCES))
    house.final(stored)
    running, waiting, unwanted = house.ask(seconds=0.5, method=SWEEP, nonce=nonce), house.ask(), house.ask()
    house.running(running)
    pid, (child,) = house.crew[0].pid, house.crew[0].children()
    with worn_out:
        fault.fire()
        until(lambda: ready(house).status_code == 503, 10, "Redis takes no writes")
        said, began = told(house), time.monotonic()
        while time.monotonic() < began + seconds:
            look(house, stored, running, unwanted)
            time.sleep(0.5)
        said = told(house) - said
    fault.gone()
    until(lambda: ready(house).status_code == 200, 20, "ready again")
    until(lambda: house.post().is_success, 20, "taking new work")
    finals = [house.final(job) for job in (running, waiting, unwanted, house.ask())]
    fault.over(30, jobs=5, lost=sum(final["code"] not in (None, "result_store_full") for final in finals))
    assert house.ask(seconds=0.5, method=SWEEP, nonce=nonce) == running  # where there was no room for its result
    assert house.final(running)["status"] == "succeeded"
    assert house.client.get(f"explanations/{running}").json()["attribution"]
    assert (house.crew[0].pid, house.crew[0].children(), house.api.deaths) == (pid, [child], [])
    assert said < LINES_A_SECOND * seconds, "it spins"
    house.assert_clean(20)
    assert not tracebacks(house)


def logs(house: House) -> Iterator[str]:
    for log in house.folder.glob("*.log"):
        yield from log.read_text().splitlines()


def told(house: House) -> int:
    """The lines that the workers have logged."""
    return sum(len(log.read_text().splitlines()) for log in house.folder.glob("worker-*.log"))


def tracebacks(house: House) -> list[str]:
    return [line for line in logs(house) if "Traceback" in line]


@contextlib.contextmanager
def replica(redis: RedisServer) -> Iterator[None]:
    """Of a master that is not there, as after a failover that went wrong."""
    redis.client.replicaof("127.0.0.1", free_port())
    try:
        yield
    finally:
        redis.client.replicaof("NO", "ONE")


@contextlib.contextmanager
def no_memory(redis: RedisServer) -> Iterator[None]:
    redis.client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.client.config_set("maxmemory", 0)


@contextlib.contextmanager
def no_disk(redis: RedisServer) -> Iterator[None]:
    """Its append-only file may not grow: a write fails as on a full disk."""
    limit = resource.RLIMIT_FSIZE
    _, most = resource.prlimit(redis.pid, limit)
    resource.prlimit(redis.pid, limit, (1, most))
    try:
        yield
    finally:
        resource.prlimit(redis.pid, limit, (most, most))


def test_a_redis_that_is_read_only(house: House, fault: Fault) -> None:
    """Redis read-only, for longer than a watchdog waits."""
    survive(house, fault, replica(house.redis), LONGER_S)


def test_a_redis_without_memory(house: House, fault: Fault) -> None:
    """Redis at its maxmemory, without eviction, for longer than a watchdog waits."""
    survive(house, fault, no_memory(house.redis), LONGER_S)


def test_a_redis_whose_append_only_file_may_not_grow(house: House, fault: Fault) -> None:
    """Redis whose append-only file may not grow."""
    survive(house, fault, no_disk(house.redis))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "16m") as place:
        yield place


def test_a_redis_whose_disk_is_full(disk: Path, open_house: Callable[..., House], fault: Fault) -> None:
    """The disk of Redis's append-only file full."""
    house = open_house(options=("--appendonly", "yes", "--dir", str(disk)))
    survive(house, fault, filled(disk))


@pytest.fixture
def apart(open_house: Callable[..., House], tmp_path: Path) -> Iterator[tuple[House, RedisServer]]:
    """A house whose results lie in a Redis of their own."""
    (tmp_path / "cache").mkdir()
    cache = RedisServer(tmp_path / "cache", port=free_port())
    try:
        yield open_house(env={"WHENCE_CACHE_URL": cache.url}), cache
    finally:
        cache.stop()


def cannot_keep(house: House, fault: Fault, worn_out: AbstractContextManager[object], code: str) -> None:
    """Results find no place; what is stored is there all the same, and later all is."""
    stored, nonce = house.ask(), float(next(NONCES))
    house.final(stored)
    with worn_out:
        fault.fire()
        refused(ready(house))
        refused(house.post(nonce=nonce, Prefer="wait=25"), code)
        job = house.ask(nonce=nonce)
        assert house.final(job)["code"] == code
        refused(house.client.get(f"explanations/{job}"), code)
        refused(house.client.get(f"explanations/{job}/scores.npy"), code)
        assert house.client.get(f"explanations/{stored}").json()["prediction"]
    fault.gone()
    until(lambda: ready(house).status_code == 200, 20, "ready again")
    assert house.ask(nonce=nonce) == job
    assert house.final(job)["status"] == "succeeded"
    fault.over(20)
    assert house.crew[0].deaths == []
    house.assert_clean()
    assert not tracebacks(house)


def test_a_cache_that_is_full(apart: tuple[House, RedisServer], fault: Fault) -> None:
    """The results' own Redis full, without eviction."""
    house, cache = apart
    cannot_keep(house, fault, no_memory(cache), "result_store_full")


def test_a_cache_that_is_read_only(apart: tuple[House, RedisServer], fault: Fault) -> None:
    """The results' own Redis read-only."""
    house, cache = apart
    cannot_keep(house, fault, replica(cache), "result_store_unavailable")


def test_a_failover_that_leaves_connections_to_the_old_master(
    open_house: Callable[..., House], fault: Fault, tmp_path: Path
) -> None:
    """A failover to a replica, with every connection still open to the old master."""
    links: list[Proxy] = []
    env: dict[str, str] = {}

    def link(port: int) -> int:
        links.append(Proxy(port))
        env["WHENCE_REDIS_URL"] = f"redis://127.0.0.1:{links[0].port}/0"
        return links[0].port

    house = open_house(links=link, env=env)
    old, (proxy,) = house.redis, links
    (tmp_path / "other").mkdir()
    port = free_port()
    new = RedisServer(tmp_path / "other", "--replicaof", "127.0.0.1", str(proxy.target), port=port)
    with ExitStack() as stack:
        stack.callback(proxy.close)
        stack.callback(new.stop)
        until(lambda: new.client.info("replication")["master_link_status"] == "up", 30)
        stored = house.ask()
        house.final(stored)
        running, waiting = house.ask(seconds=0.3, method=SWEEP), house.ask()
        house.running(running)
        until(lambda: new.client.exists(*map(keys.job, (running, waiting))) == 2)
        new.client.replicaof("NO", "ONE")
        old.client.replicaof("127.0.0.1", port)
        proxy.target = port
        house.jobs = new.client
        fault.fire()
        until(lambda: house.post().is_success, 20, "taking new work")
        until(lambda: ready(house).status_code == 200, 20, "ready again")
        finals = [house.final(job) for job in (running, waiting, house.ask())]
        fault.over(45, jobs=3, lost=sum(final["status"] != "succeeded" for final in finals))
        assert house.client.get(f"explanations/{stored}").json()["prediction"]
        for _ in range(3):
            assert house.works() < 5, "it takes work no longer as it did"
        assert (house.crew[0].deaths, house.api.deaths) == ([], [])
        house.assert_clean()
        assert not tracebacks(house)
