"""What workers publish of themselves, as the service reads it."""

from __future__ import annotations

from redis import Redis

from service.queue.queue import Queue
from tests.redis_server import RedisServer
from tests.repositories import TOY, Fixed, whole
from workers.explanation.card import ModelCard
from workers.explanation.model_state import ModelState
from workers.jobs import keys
from workers.jobs.records import Store
from workers.runtime.supervise.heartbeat import Beat


def beat(jobs: Redis, name: str, *cards: ModelCard, **failed: str) -> Beat:
    repository = Fixed(*map(whole, cards), failed=failed)
    return Beat(Store(jobs), repository, lambda: {"id": name, "device": "cpu", "loaded": {}}, lambda _: None)


async def test_the_board_shows_what_workers_publish(redis_server: RedisServer, jobs: Redis) -> None:
    one = beat(jobs, "w1", TOY)
    one.once()
    jobs.sadd(keys.WORKERS, "dead")
    async with Queue(redis_server.url) as queue:
        assert queue.cards() == {"toy": TOY}
        assert [worker["id"] for worker in queue.workers()] == ["w1"]
        jobs.flushall()  # what Redis has lost is told again
        one.once()
        await queue._cluster.read()
        assert queue.cards() == {"toy": TOY}
        one.end()
        await queue._cluster.read()
        assert (queue.cards(), queue.workers(), queue.models().models) == ({}, [], {})


class LooksMeanwhile(Fixed):
    """Its folders are looked at between a heartbeat's questions."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = False

    def states(self) -> list[ModelState]:
        self.looked = True
        return []


async def test_a_heartbeat_says_that_it_looked_only_of_states_from_after_that(
    redis_server: RedisServer, jobs: Redis
) -> None:
    """Else clients hear that there is no such model, of a worker that has just started."""
    Beat(Store(jobs), LooksMeanwhile(), lambda: {"id": "w", "device": "cpu", "loaded": {}}, lambda _: None).once()
    async with Queue(redis_server.url) as queue:
        assert queue.models().opening


async def test_a_model_has_failed_where_a_worker_says_so_and_none_serves_it(
    redis_server: RedisServer, jobs: Redis
) -> None:
    beat(jobs, "w1", toy="toy: it hangs").once()
    async with Queue(redis_server.url) as queue:
        assert queue.models().failed() == {"toy": "toy: it hangs"}
        assert queue.cards() == {}
        beat(jobs, "w2", TOY).once()
        await queue._cluster.read()
        assert queue.models().failed() == {}
        assert queue.cards() == {"toy": TOY}
