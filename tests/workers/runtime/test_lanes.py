"""Short works side by side: two at once and no third, each right; what is long, new or suspect has the worker alone."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import MODEL, order, work
from tests.patience import PATIENCE_S
from tests.toys import model_of, net
from tests.workers.runtime.worker_runs import LONG, Bells, meanwhile, settled
from workers.engine.model.batch import Batch
from workers.explanation.tensors import decode_npy
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.jobs.work import Work
from workers.runtime.lanes import AT_ONCE, WORTH_S, Lanes
from workers.runtime.pace import Pace
from workers.runtime.short import short
from workers.runtime.worker import Worker

MUCH = 10.0  # seconds that a job is reckoned to take: no two share a claim


class Gate:
    """The gradient method waits here until it is let go; who came is told by the name of its thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.came = threading.Event(), list[tuple[str, int]]()
        meanwhile(monkeypatch, self._pass)

    def _pass(self, _: Batch) -> None:
        self.came.append((threading.current_thread().name, torch.get_num_threads()))
        assert self.free.wait(PATIENCE_S)

    def until(self, count: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while len(self.came) < count:
            assert time.monotonic() < end, self.came
            time.sleep(0.005)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    found = Gate(monkeypatch)
    yield found
    found.free.set()


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    before = torch.get_num_threads()
    found = Lanes(2, lambda digest: digest == MODEL)
    yield found
    assert found.wait(PATIENCE_S)
    torch.set_num_threads(before)


@pytest.fixture
def worker(store: Store, results: Results, lanes: Lanes) -> Worker:
    model = model_of(net(), (1, 8, 8))
    return Worker("w1", store, results, lambda _: model, Bells(), time_limit=60, lanes=lanes)


def many(count: int, method: object = "gradient", cost: float = MUCH) -> list[Order]:
    return [order(at % 3, method, value=0.1 * at, cost=cost, passes=1) for at in range(count)]


async def submit(queue: Queue, orders: list[Order]) -> None:
    for one in orders:
        await queue.submit([one])


def beside(worker: Worker, times: int) -> threading.Thread:
    """Bells answered in a thread, as the worker's own would."""

    def answers() -> None:
        for _ in range(times):
            worker.answer("interactive")

    found = threading.Thread(target=answers, daemon=True)
    found.start()
    return found


async def test_two_run_at_once_and_the_third_comes_to_its_turn(
    queue: Queue, worker: Worker, gate: Gate, lanes: Lanes
) -> None:
    """The worker answers no further bell while both are taken, so that it goes to one who is free."""
    orders = many(3)
    await submit(queue, orders)
    answering = beside(worker, 3)
    gate.until(AT_ONCE)
    assert {name for name, _ in gate.came} == {"lane 0_0", "lane 1_0"}
    assert sorted(threads for _, threads in gate.came) == [1, 2]  # the second has what is its share
    assert answering.is_alive()
    assert [one.status for one in await settled(queue, orders)] == ["running", "running", "queued"]
    gate.free.set()
    answering.join(PATIENCE_S)
    assert lanes.wait(PATIENCE_S)
    assert [one.status for one in await settled(queue, orders)] == ["succeeded"] * 3


async def test_one_after_the_other_goes_where_the_last_one_was(
    queue: Queue, worker: Worker, gate: Gate, lanes: Lanes
) -> None:
    gate.free.set()
    for one in many(3):
        await queue.submit([one])
        worker.answer("interactive")
        assert lanes.wait(PATIENCE_S)
    assert len(set(gate.came)) == 1


async def test_each_is_what_it_is_alone(queue: Queue, worker: Worker, lanes: Lanes) -> None:
    orders = [*many(8), *many(8, "lrp"), *many(8, "input_times_gradient")]
    await submit(queue, orders)
    beside(worker, len(orders)).join(PATIENCE_S)
    assert lanes.wait(PATIENCE_S)
    model = worker.load(work())
    for one in orders:
        found = await queue.read(one.job.id, "attribution")
        assert found is not None
        assert one.input is not None
        assert one.input.data is not None
        assert one.job.target is not None
        assert found[1][0] is not None
        x = torch.from_numpy(decode_npy(one.input.data)[None].copy())
        alone = one.job.method.explain(model, Batch(x, [one.job.target], [0])).arrays["attribution"][0]
        torch.testing.assert_close(torch.from_numpy(decode_npy(found[1][0]).copy()), torch.as_tensor(alone))


@pytest.mark.parametrize("method", [LONG, {"name": "smooth_grad", "samples": 16}])
async def test_what_is_long_waits_until_the_lanes_are_empty_and_is_held_meanwhile(
    method: object, queue: Queue, worker: Worker, gate: Gate, store: Store
) -> None:
    first, other = many(1), [order(1, method, value=0.7, cost=MUCH, passes=16)]
    await submit(queue, first)
    worker.answer("interactive")
    gate.until(1)
    await submit(queue, other)
    answering = beside(worker, 1)
    end = time.monotonic() + PATIENCE_S
    while (await settled(queue, other))[0].status == "queued":
        assert time.monotonic() < end
    time.sleep(0.1)
    assert len(gate.came) == 1
    assert store.reconcile(5)[0] == []  # it is leased, however long it waits
    gate.free.set()
    answering.join(PATIENCE_S)
    assert [one.status for one in await settled(queue, [*first, *other])] == ["succeeded"] * 2


async def test_what_is_long_has_all_threads_again_after_two_shared_them(
    queue: Queue, worker: Worker, gate: Gate, lanes: Lanes
) -> None:
    """Torch's own number is of each thread, and MKL's one for all: the lane that began last has set it to its share."""
    orders, other = many(2), [order(1, {"name": "smooth_grad", "samples": 16}, value=0.7, cost=MUCH, passes=16)]
    await submit(queue, orders)
    answering = beside(worker, 2)
    gate.until(AT_ONCE)
    gate.free.set()
    answering.join(PATIENCE_S)
    assert lanes.wait(PATIENCE_S)
    assert of_mkl() in (None, 1)
    await submit(queue, other)
    worker.answer("interactive")
    assert (gate.came[-1], of_mkl() or 2) == ((threading.current_thread().name, 2), 2)


def of_mkl() -> int | None:
    """MKL's number of threads; None of a torch that is built without it."""
    found = re.search(r"mkl_get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())
    return int(found[1]) if found else None


async def test_what_is_over_at_once_is_done_where_the_bell_is_answered(
    queue: Queue, worker: Worker, gate: Gate, lanes: Lanes
) -> None:
    slow, quick = many(1), [order(2, value=0.9, cost=WORTH_S / 2, passes=1)]
    await submit(queue, slow)
    worker.answer("interactive")
    gate.until(1)
    await submit(queue, quick)
    answering = beside(worker, 1)
    gate.until(2)
    assert "lane" not in gate.came[1][0]
    gate.free.set()
    answering.join(PATIENCE_S)
    assert lanes.wait(PATIENCE_S)
    assert [one.status for one in await settled(queue, [*slow, *quick])] == ["succeeded"] * 2


async def test_a_model_that_is_not_loaded_is_loaded_with_the_worker_to_itself(
    queue: Queue, worker: Worker, gate: Gate
) -> None:
    gate.free.set()
    (asked,) = many(1)
    await queue.submit([asked])
    replace(worker, lanes=Lanes(2)).answer("interactive")
    assert "lane" not in gate.came[0][0]
    assert [one.status for one in await settled(queue, [asked])] == ["succeeded"]


@pytest.mark.parametrize(
    ("changed", "may"),
    [
        (lambda one: one, True),
        (lambda one: replace(one, passes=4), True),
        (lambda one: replace(one, passes=5), False),
        (lambda one: replace(one, attempts=2), False),  # it was on a worker that died
        (lambda one: replace(one, recompute=True), False),  # it is held against the bits that there are
    ],
)
def test_what_is_short(changed: Callable[[Work], Work], may: bool) -> None:
    assert short([work(), changed(work())]) is may


@pytest.mark.parametrize(
    "method",
    [
        LONG,
        {"name": "collection", "of": "gradient"},
        {"name": "pattern_attribution", "patterns": {"name": "pattern_fit", "dataset": "digits"}},
    ],
)
def test_what_holds_a_method_or_looks_at_a_dataset_is_not(method: object) -> None:
    assert not short([work(method=method)])


async def test_what_goes_wrong_in_a_lane_frees_it(queue: Queue, worker: Worker, store: Store, lanes: Lanes) -> None:
    """Its lease is let go, so that the job is found again."""

    def gone(*_: object) -> None:
        raise SystemError

    (asked,) = many(1)
    await queue.submit([asked])
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr("workers.runtime.worker.run_together", gone)
        worker.answer("interactive")
        assert lanes.wait(PATIENCE_S)
    time.sleep(0.01)
    assert store.reconcile(5)[0] == [asked.job.id]
    worker.answer("interactive")
    assert [(one.status, one.attempts) for one in await settled(queue, [asked])] == [("succeeded", 2)]


def test_with_one_thread_there_is_none() -> None:
    alone = Lanes(1, lambda _: True)
    assert not alone.any
    assert not alone.allow([work()])


def test_the_time_of_what_ran_beside_another_is_half_its_own() -> None:
    times = iter([0.0, 8.0])
    pace = Pace(lambda: next(times), lambda: 2)
    pace.note(work(), finished=True)
    assert list(pace.measured().values()) == [4.0]
