"""Commands to Redis that wait for nobody's answer: those of many requests follow one another on a few connections.

redis-py lends a connection to one request at a time, and takes three times as long over what is asked of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.asyncio import Connection, Redis
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as NoAnswer

from service.queue.answers import Short, answer_at
from service.queue.connection import ended

Command: TypeAlias = Sequence[str | bytes | int | float]

MOST = 8  # connections: behind a large answer small ones wait
IDLE_S = 10.0  # one that was not used for so long may be dead


class Pipelined:
    """Of the Redis that a client is of; `seconds` without an answer are one that does not come."""

    def __init__(self, redis: Redis, seconds: float) -> None:
        self._pool = redis.connection_pool
        self._seconds = seconds
        self._links: list[_Link] = []
        self._opening: asyncio.Task[_Link] | None = None

    async def ask(self, *commands: Command) -> list[Any]:
        """The answer to each, an error among them as an exception.

        Raises RedisError where they do not come. Where a connection ends, they are asked once more.
        """
        asked = b"".join(map(packed, commands))
        try:
            return await (await self._link()).ask(asked, len(commands))
        except NoConnection:
            return await (await self._link()).ask(asked, len(commands))

    async def one(self, *command: str | bytes | int | float) -> Any:
        """The answer to one command; raises RedisError, also for an error that it answers with."""
        (answer,) = await self.ask(command)
        if isinstance(answer, RedisError):
            raise answer
        return answer

    async def aclose(self) -> None:
        """End all connections."""
        await ended([self._opening] if self._opening else [])
        for link in self._links:
            link.end(NoConnection("closed"))
        await asyncio.sleep(0)  # in which their transports close

    async def _link(self) -> _Link:
        """The one with the least to answer; where it has some, another is opened for those who come later."""
        now = asyncio.get_running_loop().time()
        self._links = [link for link in self._links if not link.outworn(now)]
        best = min(self._links, key=len, default=None)
        if best is not None and (not len(best) or len(self._links) >= MOST):
            return best
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening) if best is None else best

    async def _open(self) -> _Link:
        """redis-py finds the server and makes itself known to it; then nothing of it reads any more."""
        connection: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # of redis-py
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        writer = connection._writer
        assert writer is not None
        connection._reader = connection._writer = None  # it is not to close what is not its own any more
        return _Link(writer, self._seconds)

    def _opened(self, opening: asyncio.Task[_Link]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._links.append(opening.result())


class _Link(asyncio.Protocol):
    """One connection; its length is how many requests it has yet to answer."""

    def __init__(self, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._writer = writer  # which would close it with itself
        self._transport = writer.transport
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[list[Any]], int]] = deque()
        self._found: list[Any] = []
        self._received = bytearray()
        self._least = 0  # bytes that have to be there before it is of use to look
        self._last = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None
        self._transport.set_protocol(self)

    def __len__(self) -> int:
        return len(self._waiting)

    def outworn(self, now: float) -> bool:
        """Whether it has ended, or was not used for so long that it is ended now."""
        if not self._waiting and now - self._last > IDLE_S:
            self.end(NoConnection("not used for long"))
        return self._transport.is_closing()

    async def ask(self, asked: bytes, count: int) -> list[Any]:
        """So many answers; raises NoConnection and NoAnswer."""
        if self._transport.is_closing():
            raise NoConnection("the connection has ended")
        found: asyncio.Future[list[Any]] = self._loop.create_future()
        if not self._waiting:
            self._last = self._loop.time()
        self._waiting.append((found, count))
        if self._watch is None:
            self._watch = self._loop.call_later(self._seconds, self._look)
        self._transport.write(asked)
        return await found

    def data_received(self, data: bytes) -> None:
        self._last = self._loop.time()
        if self._received:
            self._received += data
            if len(self._received) < self._least:
                return
        at, received = 0, self._received or data
        try:
            while at < len(received):
                answer, at = answer_at(received, at)
                self._take(answer)
            self._received = bytearray()
        except Short as short:
            self._received, self._least = bytearray(received[at:]), short.end - at
        except (ValueError, IndexError):
            self.end(NoConnection("what came is no answer of Redis"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(NoConnection(str(exc or "the server closed the connection")))

    def end(self, error: RedisError) -> None:
        """End it; whoever waits meets the error."""
        if self._watch is not None:
            self._watch.cancel()
        waiting, self._waiting = self._waiting, deque()
        for found, _ in waiting:
            if not found.done():
                found.set_exception(error)
        self._transport.abort()

    def _take(self, answer: Any) -> None:
        self._found.append(answer)
        found, count = self._waiting[0]
        if len(self._found) < count:
            return
        answers, self._found = self._found, []
        self._waiting.popleft()
        if not found.done():
            found.set_result(answers)
        if any(isinstance(one, ReadOnlyError) for one in answers):
            self.end(NoConnection("the server is no master any more"))

    def _look(self) -> None:
        """End it where nothing has come for too long."""
        self._watch, late = None, self._last + self._seconds
        if not self._waiting:
            return
        if self._loop.time() >= late:
            self.end(NoAnswer("Redis did not answer in time"))
        else:
            self._watch = self._loop.call_at(late, self._look)


def packed(command: Command) -> bytes:
    """A command as Redis reads it."""
    parts = [b"*%d\r\n" % len(command)]
    for part in command:
        said = part if isinstance(part, bytes) else str(part).encode()
        parts += (b"$%d\r\n" % len(said), said, b"\r\n")
    return b"".join(parts)
