"""How full the queue and the stores are: read from Redis when somebody asks, and told to Prometheus as gauges."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.asyncio import Redis

from service.queue.cluster_state import Depth
from service.queue.served import Served
from workers.contract import OPEN_KEY, PRIORITIES, Priority, State, async_script, depth_key

LOOKED_AT = 1000  # unfinished jobs, for the oldest that waits; of those that run there are fewer


class Memory(NamedTuple):
    """Of a Redis: bytes in use, bytes that may be (0: all there are), keys it has thrown away since it started."""

    used: int
    limit: int
    evicted: int


class Readings(NamedTuple):
    """What waits, by priority; since when the oldest waits, in seconds; jobs at work; either Redis's memory."""

    depths: Mapping[Priority, Depth]
    oldest: Mapping[str, float]
    running: int
    memory: Mapping[str, Memory]


class Gauges:
    """Reads them, by one round trip to either Redis."""

    def __init__(self, jobs: Redis, cache: Redis) -> None:
        self._jobs = jobs
        self._cache = cache
        self._oldest = async_script(jobs, "oldest")

    async def read(self) -> Readings:
        """Raises RedisError."""
        oldest, (unfinished, info, *depths), cached = await asyncio.gather(
            self._oldest(args=[LOOKED_AT]), self._queue(), self._cache.info()
        )
        waiting = {
            priority: Depth(int(jobs or 0), float(seconds or 0))
            for priority, (jobs, seconds) in zip(PRIORITIES, depths, strict=True)
        }
        running = max(0, unfinished - sum(depth.jobs for depth in waiting.values()))
        return Readings(waiting, orjson.loads(oldest), running, {"jobs": _memory(info), "cache": _memory(cached)})

    async def _queue(self) -> list[Any]:
        async with self._jobs.pipeline(transaction=False) as pipe:
            pipe.zcard(OPEN_KEY)
            pipe.info()
            for priority in PRIORITIES:
                pipe.hmget(depth_key(priority), ["jobs", "seconds"])
            found: list[Any] = await pipe.execute()
        return found


def _memory(info: Mapping[str, Any]) -> Memory:
    return Memory(info["used_memory"], info["maxmemory"], info["evicted_keys"])


@dataclass(frozen=True, eq=False)
class _Families(Collector):
    families: Sequence[Metric]

    def collect(self) -> Iterator[Metric]:
        return iter(self.families)


def text(readings: Readings | None, workers: Sequence[Mapping[str, Any]], served: Served) -> bytes:
    """The gauges as Prometheus reads them; `readings` is None where Redis does not answer."""
    registry = CollectorRegistry()
    devices = Counter(worker["device"] for worker in workers)
    states = Counter(model.state for model in served.models.values())
    memory: dict[tuple[str, ...], float] = {
        (name,): float(model.memory) for name, model in served.models.items() if model.memory
    }
    families: list[Metric] = [
        _family("redis_up", "Whether both Redis answer.", {(): readings is not None}),
        _family("workers", "Workers alive.", {(device,): count for device, count in devices.items()}, "device"),
        _family("models", "Models served.", {(): len(served.cards)}),
        _family("model_states", "Models in each state.", {(name,): states[name] for name in get_args(State)}, "state"),
        _family("model_memory_bytes", "Memory of the models loaded.", memory, "model"),
    ]
    if readings is not None:
        families += _families(readings)
    registry.register(_Families(families))
    return generate_latest(registry)


def _families(readings: Readings) -> list[Metric]:
    depths, oldest, memory = readings.depths.items(), readings.oldest, readings.memory.items()
    waits: dict[tuple[str, ...], float] = {(name,): oldest.get(name, 0.0) for name, _ in depths}
    evicted = CounterMetricFamily("whence_redis_evicted_keys", "Keys thrown away to make room.", labels=["store"])
    for store, found in memory:
        evicted.add_metric([store], found.evicted)
    return [
        _family("queue_jobs", "Jobs that wait.", {(name,): depth.jobs for name, depth in depths}, "priority"),
        _family("queue_seconds", "Work that waits.", {(name,): depth.seconds for name, depth in depths}, "priority"),
        _family("queue_oldest_seconds", "Since when the oldest job waits.", waits, "priority"),
        _family("running_jobs", "Jobs at work.", {(): readings.running}),
        _family("redis_memory_bytes", "Memory in use.", {(name,): found.used for name, found in memory}, "store"),
        _family("redis_memory_limit_bytes", "Memory that may be.", {(n,): found.limit for n, found in memory}, "store"),
        evicted,
    ]


def _family(name: str, said: str, values: Mapping[tuple[str, ...], float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"whence_{name}", said, labels=labels)
    for of, value in values.items():
        family.add_metric(of, float(value))
    return family
