"""Commands that follow one another on a connection: each gets its own answer, whatever comes between, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as NoAnswer

from service.queue import pipelined
from service.queue.answers import Short, answer_at
from service.queue.connection import client
from service.queue.pipelined import Pipelined, packed
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer

ANSWERS = [
    (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"_\r\n", None),
    (b"*-1\r\n", None),
    (b":-12\r\n", -12),
    (b"+OK\r\n", b"OK"),
    (b"*3\r\n$1\r\nx\r\n*2\r\n:1\r\n_\r\n*0\r\n", [b"x", [1, None], []]),
]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may ill-treat."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@asynccontextmanager
async def asking(server: RedisServer, seconds: float = 5.0) -> AsyncIterator[Pipelined]:
    redis = client(server.url)
    quick = Pipelined(redis, seconds)
    try:
        yield quick
    finally:
        await quick.aclose()
        await redis.aclose()


async def connections(server: RedisServer) -> int:
    return len(await asyncio.to_thread(server.client.client_list)) - 1  # which is the asker's own


@pytest.mark.parametrize(("said", "meant"), ANSWERS)
def test_an_answer_is_read_wherever_it_is_cut(said: bytes, meant: object) -> None:
    assert answer_at(b":7\r\n" + said + b":8\r\n", 4) == (meant, 4 + len(said))
    for cut in range(1, len(said)):
        with pytest.raises(Short) as short:
            answer_at(bytearray(said[:cut]), 0)
        assert cut < short.value.end <= len(said)


def test_what_is_no_answer_is_refused() -> None:
    for strange in (b"HTTP/1.1 400\r\n", b"$x\r\n"):
        with pytest.raises(ValueError):  # noqa: PT011  # of two kinds
            answer_at(strange, 0)


def test_a_command_is_counted_in_bytes() -> None:
    assert packed(("SET", "ä", 1.5, b"\r\n")) == b"*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$3\r\n1.5\r\n$2\r\n\r\n\r\n"


async def test_each_of_many_askers_gets_its_own_answer_large_or_small(redis_server: RedisServer) -> None:
    values = {f"k{index}": bytes([index]) * (700_000 if index % 5 == 0 else index) for index in range(40)}
    async with asking(redis_server) as quick:
        await quick.ask(*(("SET", name, value, "EX", 60) for name, value in values.items()))
        found = await asyncio.gather(*(quick.one("GET", name) for name in values))
        assert dict(zip(values, found, strict=True)) == values
        assert await connections(redis_server) > 1
        assert len(quick._links) <= pipelined.MOST


async def test_an_error_is_the_answer_of_its_command_alone(redis_server: RedisServer) -> None:
    async with asking(redis_server) as quick:
        wrong, right, forgotten = await quick.ask(("NOSUCH",), ("ECHO", "x"), ("EVALSHA", "0" * 40, 0))
        assert (type(wrong), right, type(forgotten)) == (ResponseError, b"x", NoScriptError)
        with pytest.raises(ResponseError, match="unknown command"):
            await quick.one("NOSUCH")


async def test_who_gives_up_takes_no_answer_from_the_next(own_server: RedisServer) -> None:
    async with asking(own_server) as quick:
        await quick.one("SET", "k", "v")
        own_server.freeze()
        left = asyncio.create_task(quick.one("ECHO", "nobody's"))
        await asyncio.sleep(0.05)
        left.cancel()
        staying = asyncio.create_task(quick.one("GET", "k"))
        await asyncio.sleep(0.05)
        own_server.thaw()
        assert await staying == b"v"


async def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_that(own_server: RedisServer) -> None:
    async with asking(own_server, 0.3) as quick:
        await quick.one("PING")
        own_server.freeze()
        async with asyncio.timeout(PATIENCE_S):
            gone = await asyncio.gather(*(quick.one("PING") for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in gone} == {NoAnswer}
        own_server.thaw()
        assert await quick.one("PING") == b"PONG"


async def test_a_kept_connection_that_was_cut_is_opened_anew(own_server: RedisServer) -> None:
    async with asking(own_server) as quick:
        await quick.one("PING")
        await asyncio.to_thread(own_server.client.client_kill_filter, skipme=True)
        assert await quick.one("PING") == b"PONG"
        own_server.kill()
        with pytest.raises(RedisError):
            await quick.one("PING")
        own_server.start()
        assert await quick.one("PING") == b"PONG"


async def test_one_that_was_not_used_for_long_is_not_trusted(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(redis_server) as quick:
        first = await quick.one("CLIENT", "ID")
        assert await quick.one("CLIENT", "ID") == first
        monkeypatch.setattr(pipelined, "IDLE_S", 0.0)
        assert await quick.one("CLIENT", "ID") != first


async def test_a_replica_is_left_for_where_the_master_is_now(own_server: RedisServer) -> None:
    async with asking(own_server) as quick:
        first = await quick.one("CLIENT", "ID")
        await asyncio.to_thread(own_server.client.replicaof, "127.0.0.1", 1)
        with pytest.raises(ReadOnlyError):
            await quick.one("SET", "k", "v")
        await asyncio.to_thread(own_server.client.replicaof, "NO", "ONE")
        assert await quick.one("CLIENT", "ID") != first
        assert await quick.one("SET", "k", "v") == b"OK"


async def test_what_answers_otherwise_than_redis_is_an_error(own_server: RedisServer) -> None:
    async with asking(own_server) as quick:
        await quick.one("PING")
        (link,) = quick._links
        asked = asyncio.ensure_future(link.ask(packed(("BLPOP", "nothing", 0)), 1))
        await asyncio.sleep(0)
        link.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(NoConnection):
            await asked
        assert await quick.one("PING") == b"PONG"
