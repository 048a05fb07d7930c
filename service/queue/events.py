"""Events of jobs, from one pub/sub connection per process, fanned out to all who wait in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from service.queue.status import FINAL, State
from workers.contract import EVENTS_CHANNEL, refuses_writes

log = structlog.get_logger()


class News(asyncio.Event):
    """Set whenever something happened to one of some jobs; `ends` tells of those that came to an end how they did.

    `missed` where something may have happened that was not heard of.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, State] = {}
        self.missed = False


class Events:
    """Use as `with events.of(ids) as news:`; `news` is set whenever something happened to one of the ids."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[tuple[str, bool], set[News]] = defaultdict(set)
        self._heard = False
        self.ended = False

    def __len__(self) -> int:
        """Of how many jobs somebody waits for news."""
        return len({job_id for job_id, _ in self._waiting})

    @contextlib.contextmanager
    def of(self, ids: Iterable[str], *, ends: bool = False) -> Iterator[News]:
        """News for the time being, with `ends` of their ends alone.

        An absence of Redis loses events, so look again from time to time.
        """
        places = [(job_id, ends) for job_id in ids]
        news = News()
        for place in places:
            self._waiting[place].add(news)
        try:
            yield news
        finally:
            for place in places:
                self._waiting[place].discard(news)
                if not self._waiting[place]:
                    del self._waiting[place]

    def end(self) -> None:
        """Wake all who wait, for good: the process ends."""
        self.ended = True
        self._tell_missed()

    def _tell_missed(self) -> None:
        for job_id, _ in self._waiting:
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
        async with self._redis.pubsub() as channel:
            await channel.subscribe(EVENTS_CHANNEL)
            while True:
                message = None
                try:
                    message = await channel.get_message(timeout=5)
                except ResponseError as error:  # to its question whether the connection lives
                    if not refuses_writes(error):
                        raise
                if message is not None and message["type"] == "subscribe":  # also where redis-py connected anew
                    if self._heard:
                        self._tell_missed()
                    self._heard = True
                elif message is not None and message["type"] == "message":
                    job_id, _, event = message["data"].decode().partition(" ")
                    self.tell(job_id, event)

    def tell(self, job_id: str, event: str | None = None) -> None:
        """Wake all who wait for news of the job, those who wait for its end where it has ended, or may have."""
        end = event if event in FINAL else None
        for place in ((job_id, False), (job_id, True))[: 1 + (end is not None or event is None)]:
            for news in self._waiting.get(place, ()):
                if end is not None:
                    news.ends[job_id] = end
                news.missed |= event is None
                news.set()
