"""The cluster: what the workers publish of themselves, copied into this process about once a second."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, NamedTuple

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.queue.connection import said_of
from service.queue.served import Served, summed
from workers.contract import (
    FULL,
    PACE_KEY,
    PRIORITIES,
    PROBE_KEY,
    WORKERS_KEY,
    ModelCard,
    ModelState,
    Precision,
    Priority,
    card_key,
    depth_key,
    methods_name,
    states_key,
    worker_key,
)

PERIOD_S = 1.0
PROBE_S = 60
CARDS_AT_ONCE = 50
STATES: TypeAdapter[list[ModelState]] = TypeAdapter(list[ModelState])
CROWDED = 0.8  # of the memory that Redis may use: beyond it nothing new is taken in

log = structlog.get_logger()


class Depth(NamedTuple):
    """What waits: jobs, and the seconds that one worker is expected to need for them."""

    jobs: int
    seconds: float


class ClusterState:
    """What the live workers serve, their heartbeats, and how full the queue is, as of the last reading.

    `paces` are the seconds of a pass, by `pace_field`; `depths` are by priority. What is served is so in `precision`.
    """

    def __init__(self, redis: Redis, precision: Precision = FULL) -> None:
        self._redis = redis
        self._precision = precision
        self._states: dict[str, list[ModelState]] = {}
        self._cards: dict[str, ModelCard] = {}
        self.served = Served()
        self.workers: list[dict[str, Any]] = []
        self.paces: dict[str, float] = {}
        self.depths: dict[Priority, Depth] = {}
        self.crowded = False

    async def read(self) -> None:
        """Copy what is published now; what is known by its content is not read again."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.smembers(WORKERS_KEY)
            pipe.hgetall(PACE_KEY)
            pipe.info("memory")
            for priority in PRIORITIES:
                pipe.hmget(depth_key(priority), ["jobs", "seconds"])
            beating, paces, memory, *depths = await pipe.execute()
        ids = [member.decode() for member in sorted(beating)]
        self.paces = {name.decode(): float(seconds) for name, seconds in paces.items()}
        self.crowded = 0 < memory["maxmemory"] * CROWDED < memory["used_memory"]
        self.depths = {
            priority: Depth(int(jobs or 0), float(seconds or 0))
            for priority, (jobs, seconds) in zip(PRIORITIES, depths, strict=True)
        }
        beats = await self._all([worker_key(name) for name in ids])
        self.workers = [orjson.loads(beat) for beat in beats if beat is not None]
        await self._read_states({worker["states"] for worker in self.workers if "states" in worker})
        unheard = None if self.workers else await self._refusal()
        served = summed(self.workers, self._states, self._cards, methods_name(), self._precision)
        self.served = replace(served, unheard=unheard)
        if gone := [name for name, beat in zip(ids, beats, strict=True) if beat is None]:
            await self._redis.srem(WORKERS_KEY, *gone)

    async def _read_states(self, places: set[str]) -> None:
        """The states that heartbeats name, and the cards that these name."""
        new = [place for place in sorted(places) if place not in self._states]
        texts = await self._all([states_key(place) for place in new])
        read = {place: STATES.validate_json(text) for place, text in zip(new, texts, strict=True) if text is not None}
        self._states = {place: one for place, one in {**self._states, **read}.items() if place in places}
        wanted = {one.card for states in self._states.values() for one in states if one.card is not None}
        missing = sorted(wanted - self._cards.keys())
        for first in range(0, len(missing), CARDS_AT_ONCE):
            kept = missing[first : first + CARDS_AT_ONCE]
            for name, text in zip(kept, await self._all([card_key(name) for name in kept]), strict=True):
                if text is not None and (card := _card(name, text)) is not None:
                    self._cards[name] = card
        self._cards = {name: card for name, card in self._cards.items() if name in wanted}

    async def keep(self) -> None:
        """Read for ever, through absences of Redis."""
        while True:
            await self.look()
            await asyncio.sleep(PERIOD_S)

    async def look(self) -> None:
        """Read, or go on with what was read last; `served` then says why no worker was heard of, if none was."""
        try:
            await self.read()
        except (RedisError, OSError) as error:
            log.warning("the state of the cluster could not be read", error=type(error).__name__)
            if not self.served.workers:
                self.served = replace(self.served, unheard=said_of(error))
        except Exception:
            log.exception("the state of the cluster cannot be read; is a worker of another version?")  # and try again

    async def _refusal(self) -> str | None:
        """Where it takes no writes it took no heartbeats either."""
        try:
            await self._redis.set(PROBE_KEY, 1, ex=PROBE_S)
        except RedisError as error:
            return said_of(error)
        return None

    async def _all(self, names: list[str]) -> list[bytes | None]:
        found: list[Any] = await self._redis.mget(names) if names else []
        return found


def _card(kept: str, text: bytes) -> ModelCard | None:
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError:
        log.warning("a card is of another version of Whence", card=kept)
        return None
