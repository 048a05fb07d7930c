"""Events of jobs, from one pub/sub connection per process, fanned out to all who wait in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from workers.contract import keys

log = structlog.get_logger()


class Events:
    """Use as `with events.of(ids) as news:`; `news` is set whenever something happened to one of the ids."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self.ended = False

    def __len__(self) -> int:
        """Of how many jobs somebody waits for news."""
        return len(self._waiting)

    @contextlib.contextmanager
    def of(self, ids: Iterable[str]) -> Iterator[asyncio.Event]:
        """An event for the time being; an absence of Redis loses events, so look again from time to time."""
        ids = list(ids)
        news = asyncio.Event()
        for job_id in ids:
            self._waiting[job_id].add(news)
        try:
            yield news
        finally:
            for job_id in ids:
                self._waiting[job_id].discard(news)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]

    def end(self) -> None:
        """Wake all who wait, for good: the process ends."""
        self.ended = True
        for job_id in self._waiting:
            self.tell(job_id)

    async def listen(self) -> None:
        """Fan out for ever, through absences of Redis."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.warning("no events", error=type(error).__name__)
            except Exception:
                log.exception("no events")  # and try again: whoever waits would go on without being told
            await asyncio.sleep(0.5)

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(keys.EVENTS)
            while True:
                message = await channel.get_message(timeout=5)
                if message is not None:
                    self.tell(message["data"].decode().partition(" ")[0])

    def tell(self, job_id: str) -> None:
        """Wake all who wait for news of the job."""
        for news in self._waiting.get(job_id, ()):
            news.set()
