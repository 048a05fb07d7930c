"""The state of the cluster: what the workers publish of themselves, copied into this process about once a second."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from workers.contract import (
    CARDS_KEY,
    PACE_KEY,
    PRIORITIES,
    WORKERS_KEY,
    ModelCard,
    Priority,
    card_key,
    depth_key,
    worker_key,
)

PERIOD_S = 1.0
CROWDED = 0.8  # of the memory that Redis may use: beyond it nothing new is taken in

log = structlog.get_logger()


class Depth(NamedTuple):
    """What waits: jobs, and the seconds that one worker is expected to need for them."""

    jobs: int
    seconds: float


class ClusterState:
    """Model cards by name, the heartbeats of the live workers, and how full the queue is, as of the last reading.

    `failed` are the reasons why models cannot be served, by name. `paces` are the seconds of a pass, by `pace_field`;
    `depths` are by priority.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._texts: dict[str, bytes] = {}
        self.cards: dict[str, ModelCard] = {}
        self.failed: dict[str, str] = {}
        self.workers: list[dict[str, Any]] = []
        self.paces: dict[str, float] = {}
        self.depths: dict[Priority, Depth] = {}
        self.crowded = False

    async def read(self) -> None:
        """Copy what is published now; a card that has not changed is not parsed again."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.smembers(CARDS_KEY)
            pipe.smembers(WORKERS_KEY)
            pipe.hgetall(PACE_KEY)
            pipe.info("memory")
            for priority in PRIORITIES:
                pipe.hmget(depth_key(priority), ["jobs", "seconds"])
            listed, beating, paces, memory, *depths = await pipe.execute()
        names, ids = ([member.decode() for member in sorted(found)] for found in (listed, beating))
        self.paces = {name.decode(): float(seconds) for name, seconds in paces.items()}
        self.crowded = 0 < memory["maxmemory"] * CROWDED < memory["used_memory"]
        self.depths = {
            priority: Depth(int(jobs or 0), float(seconds or 0))
            for priority, (jobs, seconds) in zip(PRIORITIES, depths, strict=True)
        }
        cards = await self._all([card_key(name) for name in names])
        beats = await self._all([worker_key(name) for name in ids])
        texts = {name: card for name, card in zip(names, cards, strict=True) if card is not None}
        self.cards = {
            name: self.cards[name]
            if name in self.cards and self._texts.get(name) == text
            else ModelCard.model_validate_json(text)
            for name, text in texts.items()
        }
        self._texts = texts
        self.workers = [orjson.loads(beat) for beat in beats if beat is not None]
        served = {name for worker in self.workers for name in (*worker.get("ready", ()), *worker.get("models", ()))}
        told = {name: reason for worker in self.workers for name, reason in worker.get("failed", {}).items()}
        self.failed = {name: reason for name, reason in told.items() if name not in served}
        self.cards = {name: card for name, card in self.cards.items() if name not in self.failed}
        if gone := [name for name, beat in zip(ids, beats, strict=True) if beat is None]:
            await self._redis.srem(WORKERS_KEY, *gone)

    async def keep(self) -> None:
        """Read for ever, through absences of Redis."""
        while True:
            try:
                await self.read()
            except (RedisError, OSError) as error:
                log.warning("what workers publish could not be read", error=type(error).__name__)
            except Exception:
                log.exception("what workers publish cannot be read; is one of another version?")  # and try again
            await asyncio.sleep(PERIOD_S)

    async def _all(self, names: list[str]) -> list[bytes | None]:
        found: list[Any] = await self._redis.mget(names) if names else []
        return found
