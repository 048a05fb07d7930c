"""A Redis that answers and takes no writes: new work is refused for now, what is stored is read, and it heals."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from service.cli.local.redis_binary import free_port
from service.http.errors import NoWorker, QueueFull
from service.queue.connection import QueueUnavailable
from service.queue.events import Events
from service.queue.queue import Queue
from tests.faults.proxy import Proxy
from tests.orders import order
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from workers.jobs import keys, redis_address
from workers.jobs.connection import connect
from workers.jobs.refusals import full, refuses_writes


def replica(redis: RedisServer, *, strikes: bool) -> None:
    redis.client.replicaof(*(("127.0.0.1", free_port()) if strikes else ("NO", "ONE")))


def memory(redis: RedisServer, *, strikes: bool) -> None:
    redis.client.config_set("maxmemory", int(strikes))


def disk(redis: RedisServer, *, strikes: bool) -> None:
    _, most = resource.prlimit(redis.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(redis.pid, resource.RLIMIT_FSIZE, (1 if strikes else most, most))
    if strikes:
        redis.client.set("one", "write that fails")  # Redis refuses those that come after it


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, "--appendonly", "yes", port=free_port())
    yield server
    server.stop()


@pytest.mark.parametrize("fault", [replica, memory, disk])
async def test_new_work_is_refused_for_now_and_what_is_stored_is_read(
    server: RedisServer, fault: Callable[..., None]
) -> None:
    async with Queue(server.url) as queue:
        asked = order(0)
        await queue.submit([asked])
        fault(server, strikes=True)
        for refused in (queue.ping(), queue.submit([order(1)])):
            with pytest.raises((QueueUnavailable, QueueFull), match=r"takes no writes|nearly full"):
                await refused
        status = await queue.status(asked.job.id)
        assert status is not None
        assert status.status == "queued"
        assert (await queue.listing(None, None, 10, None)).statuses == [status]
        fault(server, strikes=False)
        await settled(queue)
        assert [ticket.outcome for ticket in await queue.submit([order(1)])] == ["created"]


@pytest.mark.parametrize(("fault", "no_room"), [(replica, False), (memory, True), (disk, True)])
def test_errors_tell_whether_there_is_no_room(server: RedisServer, fault: Callable[..., None], no_room: bool) -> None:
    fault(server, strikes=True)
    transaction = server.client.pipeline(transaction=True)
    transaction.set("a", 1)
    for write in (
        lambda: server.client.set("a", 1),
        lambda: server.client.eval("redis.call('SET', 'a', 1)", 0),
        transaction.execute,
    ):
        with pytest.raises(RedisError) as found:
            write()
        assert refuses_writes(found.value)
        assert full(found.value) == no_room


@pytest.mark.parametrize("fault", [replica, memory, disk])
async def test_a_kept_connection_that_refuses_writes_is_read_from_and_listened_to(
    server: RedisServer, fault: Callable[..., None]
) -> None:
    """It is asked from time to time whether it lives, and refuses to answer that where its disk fails."""
    often = {"health_check_interval": 0.05}
    waiter = redis_address.async_client(server.url, most=4, timeout=1, **often)
    worker = redis_address.client(server.url, **often)
    events = Events(waiter)
    listening = asyncio.create_task(events.listen())
    try:
        await waiter.set("there", 1)
        worker.set("there", 1)
        await heard(events, server.client)
        (listener,) = listeners(server)
        fault(server, strikes=True)
        for _ in range(3):
            await asyncio.sleep(0.2)
            assert (await waiter.get("there"), worker.get("there")) == (b"1", b"1")
            with pytest.raises(RedisError) as found:
                await waiter.set("there", 2)
            assert refuses_writes(found.value)
        await heard(events, server.client)
        assert listeners(server) == [listener], "it listens anew, and misses what is told meanwhile"
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await waiter.aclose()
        worker.close()


async def heard(events: Events, redis: Redis) -> None:
    with events.of(["job"]) as news:
        async with asyncio.timeout(PATIENCE_S):
            while not news.is_set():
                redis.publish(keys.EVENTS, "job progress")
                await asyncio.sleep(0.05)


def listeners(server: RedisServer) -> list[str]:
    return [one["id"] for one in server.client.client_list() if one["sub"] == "1"]


@pytest.mark.parametrize("fault", [replica, memory, disk])
async def test_where_no_worker_can_be_heard_of_the_reason_is_redis(
    server: RedisServer, fault: Callable[..., None]
) -> None:
    """Their heartbeats are refused, too: nobody knows whether there is one."""
    async with Queue(server.url) as queue:
        with pytest.raises(NoWorker):
            queue.models().card("digits")
        fault(server, strikes=True)
        await queue._cluster.look()
        with pytest.raises(QueueUnavailable, match="takes no writes"):
            queue.models().card("digits")
        fault(server, strikes=False)
        await settled(queue)
        with pytest.raises(NoWorker):
            queue.models().card("digits")


async def test_of_a_redis_that_was_away_from_the_start_no_worker_can_be_heard() -> None:
    async with Queue(f"redis://127.0.0.1:{free_port()}/0") as queue:
        with pytest.raises(QueueUnavailable, match="does not answer"):
            queue.models().card("digits")


async def test_after_a_failover_kept_connections_to_the_old_master_are_given_up(
    server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    new = RedisServer(tmp_path / "new", port=free_port())
    proxy = Proxy(server.client.connection_pool.connection_kwargs["port"])
    url = f"redis://127.0.0.1:{proxy.port}/0"
    try:
        async with Queue(url) as queue:
            worker: Redis = connect(url)
            await queue.submit([order(0)])
            worker.set("there", 1)
            proxy.target = new.client.connection_pool.connection_kwargs["port"]
            server.client.replicaof("127.0.0.1", proxy.target)
            worker.set("there", 2)
            assert [ticket.outcome for ticket in await queue.submit([order(1)])] == ["created"]
            assert new.client.get("there") == b"2"
            assert new.client.dbsize() > 2, "the order did not arrive"
            worker.close()
    finally:
        proxy.close()
        new.stop()


async def settled(queue: Queue) -> None:
    """Redis notices within a second that its disk has room again, and the API that its memory has."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await queue.ping()
                await queue._cluster.read()
                return
            except QueueUnavailable:
                await asyncio.sleep(0.05)
