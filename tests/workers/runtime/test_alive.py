"""`python -m workers.alive`: a worker that nobody could hear of is not said to be dead."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.redis_server import RedisServer
from workers import alive
from workers.jobs import keys

HOST = "here"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may spoil."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()


def beat(jobs: Redis, name: str) -> None:
    jobs.sadd(keys.WORKERS, name)
    jobs.set(keys.worker(name), b"{}", ex=10)


def test_a_heartbeat_of_this_host_is_one(own: RedisServer) -> None:
    assert alive.heard(own.url, HOST)[0] == alive.DEAD
    beat(own.client, f"{HOST}y-1")
    code, said = alive.heard(own.url, HOST)
    assert code == alive.DEAD
    assert "Redis takes writes" in said
    beat(own.client, f"{HOST}-1")
    assert alive.heard(own.url, HOST)[0] == alive.LIVES


def read_only(server: RedisServer) -> None:
    server.client.replicaof("127.0.0.1", "1")


def full(server: RedisServer) -> None:
    server.client.config_set("maxmemory", 1)


def without_replicas(server: RedisServer) -> None:
    server.client.config_set("min-replicas-to-write", 1)


@pytest.mark.parametrize("spoil", [read_only, full, without_replicas])
def test_where_redis_takes_no_writes_nothing_is_known_of_workers(
    own: RedisServer, spoil: Callable[[RedisServer], None]
) -> None:
    beat(own.client, f"{HOST}-1")
    spoil(own)
    assert alive.heard(own.url, HOST)[0] == alive.LIVES  # as long as the last one lasts
    own.client.config_set("maxmemory", 0)
    own.client.config_set("min-replicas-to-write", 0)
    own.client.replicaof("NO", "ONE")
    own.client.delete(keys.worker(f"{HOST}-1"))
    spoil(own)
    code, said = alive.heard(own.url, HOST)
    assert code == alive.UNHEARD
    assert said.startswith("Redis takes no writes")


def test_where_redis_does_not_answer_nothing_is_known_of_workers(own: RedisServer) -> None:
    own.freeze()
    try:
        code, said = alive.heard(own.url, HOST)
    finally:
        own.thaw()
    assert code == alive.UNHEARD
    assert said.startswith("Redis does not answer")


def test_who_starts_workers_again_does_so_for_the_dead_alone(own: RedisServer) -> None:
    def code(*arguments: str) -> int:
        command = [sys.executable, "-m", "workers.alive", *arguments]
        environment = {**os.environ, "WHENCE_REDIS_URL": own.url}
        return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode

    assert (code(), code("--or-unheard")) == (alive.DEAD, alive.DEAD)
    full(own)
    assert (code(), code("--or-unheard")) == (alive.UNHEARD, alive.LIVES)
    own.client.config_set("maxmemory", 0)
    beat(own.client, f"{socket.gethostname()}-1")
    assert (code(), code("--or-unheard")) == (alive.LIVES, alive.LIVES)
