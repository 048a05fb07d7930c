"""Fits that works need: one worker computes them, the others wait, and nobody's time limit pays for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from service.queue.queue import Queue
from service.queue.submission import Order
from tests.orders import work
from tests.toys import inputs, model_of, net
from tests.workers.datasets.dataset_files import npz, sent
from workers.datasets.card import DatasetCard
from workers.datasets.library import Datasets
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import DeadlineExceeded, ExplainError, InvalidParameter
from workers.jobs import keys
from workers.jobs.job import Job
from workers.jobs.partials import Partials
from workers.jobs.records import LEASE_MS, Store
from workers.jobs.stored_results import Finished, Results
from workers.jobs.work import Work
from workers.methods.method import parse_method
from workers.methods.structure.activation_rates import ActivationRates
from workers.methods.structure.insens import Insens
from workers.runtime import lease
from workers.runtime.execute.resources import Stock
from workers.runtime.execute.run import Outcome, run
from workers.runtime.lease import Lease, Stopping


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(tmp_path)


@pytest.fixture
def card(datasets: Datasets) -> DatasetCard:
    return sent(datasets, npz(inputs=inputs(6).numpy(), labels=np.arange(6)))


Slow = Callable[[Callable[[], None]], list[str]]


@pytest.fixture
def fitting(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """Make a fit do something first; by which thread each was computed."""

    def spoil(act: Callable[[], None]) -> list[str]:
        fitted: list[str] = []
        explain = ActivationRates.explain

        def explained(method: ActivationRates, model: Model, batch: Batch) -> Any:
            fitted.append(threading.current_thread().name)
            act()
            batch.report(1, 2, "inputs")
            return explain(method, model, batch)

        monkeypatch.setattr(ActivationRates, "explain", explained)
        return fitted

    return spoil


def fit_job(model: Model, card: DatasetCard) -> Job:
    method = parse_method({"name": "activation_rates", "dataset": card.digest})
    return Job(model=model.card.digest, input=None, target=None, method=method)


def needing(card: DatasetCard, value: float) -> Work:
    """A work that needs the fit."""
    return work(method={"name": "insens", "rates": {"name": "activation_rates", "dataset": card.digest}}, value=value)


class Bench:
    """A worker without its process: its own memory, a lease, the Redis of all."""

    def __init__(self, name: str, model: Model, datasets: Datasets, store: Store, results: Results) -> None:
        self.name, self.model, self.store = name, model, store
        self.stock = Stock(datasets, results, Partials(results.cache), lambda _: model)

    def explain(self, asked: Work, time_limit: float = 60, fit_limit: float = 60) -> Outcome:
        self.store.jobs.set(keys.lease(asked.id), f"{self.name}:1", px=LEASE_MS)
        with Lease(self.store, f"{self.name}:1", [asked], time_limit, fit_limit) as held:
            ((_, outcome),) = run([asked], lambda _: self.model, held.watch, self.stock.of)
        return outcome


@pytest.fixture
def bench(model: Model, datasets: Datasets, store: Store, results: Results) -> Callable[[str], Bench]:
    return lambda name: Bench(name, model, datasets, store, results)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.02)
    monkeypatch.setattr("workers.runtime.execute.resources.LOOK_S", 0.02)


def test_two_workers_that_need_one_fit_compute_it_once(
    bench: Callable[[str], Bench], card: DatasetCard, fitting: Slow, quick: None, jobs: Redis, model: Model
) -> None:
    fitted = fitting(lambda: time.sleep(0.4))
    outcomes: list[Outcome] = []

    def explain(name: str, value: float) -> None:
        outcomes.append(bench(name).explain(needing(card, value)))

    threads = [threading.Thread(target=explain, args=(f"w{i}", 0.1 * i)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(outcome) for outcome in outcomes] == [Finished] * 3
    assert len(fitted) == 1
    assert not jobs.exists(keys.lease(fit_job(model, card).id))


def test_a_fit_whose_worker_died_is_taken_over(
    bench: Callable[[str], Bench], card: DatasetCard, fitting: Slow, quick: None, jobs: Redis, model: Model
) -> None:
    fitted = fitting(lambda: None)
    jobs.set(keys.lease(fit_job(model, card).id), "dead:1", px=300)
    began = time.monotonic()
    assert isinstance(bench("w").explain(needing(card, 0.5)), Finished)
    assert time.monotonic() - began > 0.2
    assert len(fitted) == 1


@pytest.mark.parametrize("holder", ["w:1", "w:of an earlier life"])
def test_a_worker_does_not_wait_for_itself(
    bench: Callable[[str], Bench], card: DatasetCard, jobs: Redis, model: Model, holder: str
) -> None:
    """A request for the fit and for what needs it is claimed under one lease."""
    jobs.set(keys.lease(fit_job(model, card).id), holder, px=LEASE_MS)
    assert isinstance(bench("w").explain(needing(card, 0.5)), Finished)


@dataclass
class Clock:
    """Stands still until a test moves it, by so much that what a slow machine takes is nothing beside it."""

    now: float = field(default_factory=time.monotonic)

    def monotonic(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That by which a lease measures what work takes."""
    clock = Clock()
    monkeypatch.setattr(lease, "time", clock)
    return clock


@pytest.mark.parametrize(("own", "ends"), [(3000, Finished), (4500, DeadlineExceeded)])
def test_a_fit_costs_the_batch_none_of_its_time(
    bench: Callable[[str], Bench],
    card: DatasetCard,
    fitting: Slow,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    own: float,
    ends: type[Outcome],
) -> None:
    explain = Insens.explain

    def explained(method: Insens, model: Model, batch: Batch) -> Any:
        clock.pass_by(own)
        batch.report(1, 2, "passes")
        return explain(method, model, batch)

    monkeypatch.setattr(Insens, "explain", explained)
    fitting(lambda: clock.pass_by(5000))
    assert isinstance(bench("w").explain(needing(card, 0.5), time_limit=4000, fit_limit=9000), ends)


def test_a_fit_has_a_limit_of_its_own(
    bench: Callable[[str], Bench], card: DatasetCard, fitting: Slow, clock: Clock
) -> None:
    fitting(lambda: clock.pass_by(3000))
    outcome = bench("w").explain(needing(card, 0.5), time_limit=1000, fit_limit=2000)
    assert isinstance(outcome, DeadlineExceeded)
    assert "2000 s" in outcome.detail


def test_what_takes_no_input_has_the_limit_of_a_fit(
    bench: Callable[[str], Bench], card: DatasetCard, fitting: Slow, model: Model, clock: Clock
) -> None:
    fitting(lambda: clock.pass_by(3000))
    job = fit_job(model, card)
    asked = Work(job.id, job, "toy", 1.0, 1.0)
    assert isinstance(bench("w").explain(asked, time_limit=1000, fit_limit=9000), Finished)


def test_who_waits_for_a_fit_can_be_stopped(
    bench: Callable[[str], Bench],
    card: DatasetCard,
    quick: None,
    jobs: Redis,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs.set(keys.lease(fit_job(model, card).id), "other:1")
    monkeypatch.setattr("workers.runtime.supervise.shutdown.due", iter([False] * 3 + [True] * 9).__next__)
    with pytest.raises(Stopping):
        bench("w").explain(needing(card, 0.5))
    assert jobs.get(keys.lease(fit_job(model, card).id)) == b"other:1"


def test_a_fit_that_fails_is_let_go(
    bench: Callable[[str], Bench], card: DatasetCard, fitting: Slow, jobs: Redis, model: Model
) -> None:
    def fail() -> None:
        raise InvalidParameter("no")

    fitting(fail)
    assert isinstance(bench("w").explain(needing(card, 0.5)), ExplainError)
    time.sleep(0.01)
    assert not jobs.exists(keys.lease(fit_job(model, card).id))


async def test_a_fit_that_somebody_asked_for_is_finished_with_it(
    queue: Queue, bench: Callable[[str], Bench], card: DatasetCard, fitting: Slow, model: Model
) -> None:
    fitted = fitting(lambda: None)
    job = fit_job(model, card)
    await queue.submit([Order(job, "toy", None)])
    assert isinstance(bench("w").explain(needing(card, 0.5)), Finished)
    status = await queue.status(job.id)
    assert status is not None
    assert status.status == "succeeded"
    assert len(fitted) == 1
