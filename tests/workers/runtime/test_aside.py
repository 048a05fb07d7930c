"""A server that is slow or dead costs the work that waits for it, and no other's turn."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from redis import Redis

from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.storage import Input
from service.queue.submission import Order
from tests.orders import MODEL
from tests.patience import PATIENCE_S
from tests.repositories import Fixed, whole
from tests.toys import model_of, net
from tests.workers.models.servers.fake_predictor import Fake, Reply, served
from tests.workers.runtime.worker_runs import Bells, settled
from workers.explanation.target import RankTarget
from workers.explanation.tensors import digest_tensor, encode_npy
from workers.jobs import profile
from workers.jobs.job import Job
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.methods.method import parse_method
from workers.models.folder import read_folder
from workers.models.kept_cards import Whole, name_of
from workers.models.loading import load
from workers.models.reading import signature
from workers.runtime.aside import AT_ONCE, Aside
from workers.runtime.execute import model_cache
from workers.runtime.execute.model_cache import ModelCache
from workers.runtime.supervise import shutdown
from workers.runtime.supervise.heartbeat import Beat
from workers.runtime.worker import Worker


def of_server(folder: Path, address: str) -> Whole:
    folder.mkdir()
    card = {"model": {"source": address}, "input": {"shape": [3]}, "remote": {"timeout": 60.0, "requests": 2}}
    (folder / "card.toml").write_text(tomli_w.dumps(card))
    found = read_folder(folder)
    return Whole(found, load(found).card, name_of(found), signature(folder))


def asked(model: str, number: int = 0, shape: tuple[int, ...] = (3,)) -> Order:
    x = np.full(shape, 0.5 + number, np.float32)
    given = Input(digest_tensor(x), "tensor", encode_npy(x))
    job = Job(model=model, input=given.digest, target=RankTarget(rank=0), method=parse_method("occlusion"))
    return Order(job, model, given)


class House:
    """A worker as it is put together, with a model of its own and two on servers, of which one can be made to hang."""

    def __init__(self, folder: Path, jobs: Redis, results: Results, queue: Queue, slow: Fake, quick: Fake) -> None:
        self.hangs, self.free = threading.Event(), threading.Event()
        self.slow, self.quick = slow, quick
        slow.fault = self._hang
        own = whole(model_of(net(), (1, 8, 8)).card)
        far = [of_server(folder / name, fake.address) for name, fake in (("far", slow), ("near", quick))]
        self.far, self.near = (one.folder.digest for one in far)
        self.bells, self.queue, self.store = Bells(), queue, Store(jobs)
        cache = ModelCache(Fixed(own, *far), "cpu", 10**9)
        aside = Aside()
        beat = Beat(self.store, cache.repository, lambda: {"id": "w"}, self.bells, aside.full)
        beat.once()
        self.worker = Worker(
            "w", self.store, results, cache.model, self.bells, 60.0, tell=beat.once, retire=beat.end,
            elsewhere=cache.elsewhere, limit=beat.offer, aside=aside,
        )  # fmt: skip

    def _hang(self, _: int, __: Reply) -> None:
        if self.hangs.is_set():
            self.free.wait(PATIENCE_S)

    async def waits(self, *orders: Order) -> None:
        for one in orders:
            await self.queue.submit([one])

    async def answered(self, times: int, orders: Sequence[Order]) -> Counter[str]:
        for _ in range(times):
            self.worker.answer("interactive")
        return await self.states(orders)

    async def states(self, orders: Sequence[Order]) -> Counter[str]:
        return Counter(status.status for status in await settled(self.queue, orders))

    async def until(self, order: Order, state: str) -> Status:
        end = time.monotonic() + PATIENCE_S
        while True:
            (found,) = await settled(self.queue, [order])
            if found.status == state:
                return found
            assert time.monotonic() < end, f"{found.status}, and not {state}"
            time.sleep(0.02)


@pytest.fixture
def house(
    tmp_path: Path, jobs: Redis, results: Results, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    monkeypatch.setattr("service.queue.submission.rows_per_batch", lambda *_: 1)  # so that no two share a claim
    toy = model_of(net(), (1, 8, 8))
    monkeypatch.setattr(model_cache, "load", lambda found, *_: load(found) if found.source.remote else toy)
    with ExitStack() as stack:
        fakes = [stack.enter_context(served(Fake(lambda rows: rows @ np.ones((3, 2))))) for _ in range(2)]
        found = House(tmp_path, jobs, results, queue, fakes[0], fakes[1])
        yield found
        found.free.set()
        assert found.worker.aside.wait(PATIENCE_S)


async def test_a_slow_server_keeps_no_other_model_waiting(house: House) -> None:
    """Of its own work as much is begun as may be at once, and the rest waits for its turn."""
    house.hangs.set()
    slow = [asked(house.far, number) for number in range(AT_ONCE + 2)]
    others = [asked(MODEL, shape=(1, 8, 8)), *(asked(house.near, number) for number in range(3))]
    await house.waits(*slow, *others)
    await house.answered(AT_ONCE + 2 + len(others), slow)
    for one in others:
        await house.until(one, "succeeded")
    assert await house.states(slow) == {"running": AT_ONCE, "queued": 2}
    assert house.store.profile != profile.name_of(profile.served([house.far, house.near, MODEL]))
    house.free.set()
    assert house.worker.aside.wait(PATIENCE_S)
    assert house.store.profile == profile.name_of(profile.served([house.far, house.near, MODEL]))
    while house.bells.rung:  # none is lost
        house.worker.answer(house.bells.rung.pop())
    assert house.worker.aside.wait(PATIENCE_S)
    assert await house.states(slow) == {"succeeded": AT_ONCE + 2}


async def test_work_of_a_full_server_is_served_all_the_same(house: House, jobs: Redis) -> None:
    """It waits for its turn, and is not told that nobody has its model."""
    house.hangs.set()
    slow = [asked(house.far, number) for number in range(AT_ONCE + 1)]
    await house.waits(*slow)
    assert await house.answered(AT_ONCE + 2, slow) == {"running": AT_ONCE, "queued": 1}
    lost, _ = house.store.reconcile(ring_after_s=1.0, unserved_s=0.0)
    house.store.reconcile(ring_after_s=1.0, unserved_s=0.0)
    assert (lost, await house.states(slow)) == ([], {"running": AT_ONCE, "queued": 1})
    assert not house.store.waiting(["interactive"], house.store.profile)  # an idle worker, which no watchdog ends


async def test_work_that_waits_for_a_server_is_withdrawn_at_once(house: House) -> None:
    house.hangs.set()
    order = asked(house.far)
    await house.waits(order)
    house.worker.answer("interactive")
    await house.until(order, "running")
    await house.queue.withdraw(order.job.id, order.caller)
    assert house.worker.aside.wait(PATIENCE_S)
    assert (await house.until(order, "cancelled")).error is None


async def test_a_worker_that_must_end_hands_back_what_waits_for_a_server(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hangs.set()
    order = asked(house.far)
    await house.waits(order)
    house.worker.answer("interactive")
    await house.until(order, "running")
    monkeypatch.setattr(shutdown, "lasting", lambda: 60.0)
    monkeypatch.setattr(shutdown, "due", lambda: True)
    house.worker.farewell()
    assert (await house.until(order, "queued")).attempts == 0
    assert not house.worker.aside.full()


async def test_a_server_that_dies_costs_its_own_work_alone(house: House) -> None:
    def broken(*_: object) -> None:
        raise ConnectionError

    house.slow.fault = broken
    dead, well = [asked(house.far, n) for n in range(3)], [asked(house.near, n) for n in range(3)]
    await house.waits(*dead, *well)
    await house.answered(6, dead)
    for one in well:
        await house.until(one, "succeeded")
    for one in dead:
        failed = await house.until(one, "failed")
        assert failed.error is not None
        assert failed.error.code == "predictor_unavailable"


def test_work_that_ends_badly_leaves_its_place() -> None:
    aside, told = Aside(), threading.Event()

    def wrong() -> None:
        raise RuntimeError("no one expects it")

    for _ in range(AT_ONCE):
        aside.begin("m", wrong, told.set)
    assert aside.wait(PATIENCE_S)
    assert not aside.full()
