"""Held methods and datasets where stores are away, workers die and works are withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from service.queue.queue import Queue
from tests.orders import work
from tests.toys import model_of, net
from tests.workers.datasets.dataset_files import npz, sent
from tests.workers.methods.held_runs import BOXES, MASKS, X, explained, insens, rates_of, served, state_job, unnamed
from workers.datasets.card import DatasetCard
from workers.datasets.library import Datasets
from workers.engine.model.batch import Batch, silent
from workers.engine.model.model import Model
from workers.explanation.errors import (
    Cancelled,
)
from workers.explanation.result import Attribution
from workers.explanation.tensors import decode_npy
from workers.jobs import keys
from workers.jobs.partials import Partials
from workers.jobs.records import Store
from workers.jobs.stored_results import Results
from workers.jobs.work import Work
from workers.methods.cost import rows_per_batch
from workers.methods.gradient.gradient import Gradient
from workers.methods.gradient.input_times_gradient import InputTimesGradient
from workers.methods.method import parse_method
from workers.runtime.execute.resources import Stock, Supplied
from workers.runtime.execute.run import run
from workers.runtime.worker import Worker


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(tmp_path)


@pytest.fixture
def stock(datasets: Datasets, results: Results) -> Stock:
    return Stock(datasets, results, Partials(results.cache), unnamed)


@pytest.fixture
def card(datasets: Datasets) -> DatasetCard:
    return sent(datasets, npz(inputs=X.numpy(), labels=np.arange(10) % 3, masks=MASKS, boxes=BOXES))


def test_a_result_store_that_is_away_does_not_stop_the_work(
    datasets: Datasets, model: Model, card: DatasetCard, tmp_path: Path
) -> None:
    with Redis(unix_socket_path=str(tmp_path / "nothing")) as away:
        found = (
            Stock(datasets, Results(away, 60), Partials(away), unnamed)
            .of(model, silent, None)
            .state(model, state_job(model, card).method)
        )
    assert found.keys() == rates_of(model, X).keys()


def test_a_job_that_lost_its_worker_goes_on_behind_what_was_kept(
    stock: Stock, model: Model, card: DatasetCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.engine.data.streaming.KEEP_S", -1.0)
    monkeypatch.setattr(model, "_chunk", 3, raising=False)
    job = state_job(model, card)
    whole = job.method.explain(model, Batch(X[:0], [], resources=stock.of(model, silent, None))).rows()[0].arrays
    seen: list[int] = []

    def dies_at_six(done: int, total: int, unit: str) -> None:
        seen.append(done)
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.method.explain(model, Batch(X[:0], [], resources=stock.of(model, dies_at_six, job.id)))
    seen.clear()
    again = Batch(X[:0], [], resources=stock.of(model, lambda done, *_: seen.append(done), job.id))
    resumed = job.method.explain(model, again).rows()[0].arrays
    assert seen == [9, 10]  # the six that were done before the death are not passed again
    for name, rates in whole.items():
        np.testing.assert_array_equal(resumed[name], rates)


def test_work_without_an_input_has_a_pass_to_itself(stock: Stock, model: Model, card: DatasetCard) -> None:
    assert rows_per_batch(parse_method("activation_rates")) == 1
    job = state_job(model, card)
    (outcome,) = explained([Work(job.id, job, "toy", 1.0, 1.0)], model, stock)
    assert outcome.arrays.keys() == rates_of(model, X).keys()
    assert outcome.meta["timing"]["batch_size"] == 1


def test_each_batch_tells_its_own_watch_though_they_share_a_pass(
    stock: Stock, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the first batch's time limit and withdrawal would end the second."""
    seen = []
    for kind in (Gradient, InputTimesGradient):

        def explained(
            method: Any, model: Model, batch: Batch, explain: Callable[..., Attribution] = kind.explain
        ) -> Attribution:
            assert isinstance(batch.resources, Supplied)
            seen.append((batch.cache, batch.report, batch.resources.report))
            return explain(method, model, batch)

        monkeypatch.setattr(kind, "explain", explained)

    def watch(_: Any) -> Callable[..., None]:
        return lambda *_: None

    asked = [work(method="gradient"), work(method="input_times_gradient")]
    assert len(list(run(asked, lambda _: model, watch, stock.of))) == 2
    (memo, first, told_first), (shared, second, told_second) = seen
    assert memo is shared
    assert first is told_first
    assert second is told_second
    assert first is not second


def test_work_that_is_withdrawn_ends_within_its_dataset(stock: Stock, model: Model, card: DatasetCard) -> None:
    def report(done: int, total: int, unit: str) -> None:
        raise Cancelled("withdrawn")

    job = state_job(model, card)
    for asked in (Work(job.id, job, "toy", 1.0, 1.0), insens(card)):
        ((_, outcome),) = run([asked], lambda _: model, lambda _: report, stock.of)
        assert isinstance(outcome, Cancelled)


async def test_from_the_upload_to_the_numbers(
    queue: Queue, store: Store, results: Results, stock: Stock, model: Model, datasets: Datasets
) -> None:
    worker = Worker("w1", store, results, lambda _: model, lambda _: None, 60, stock.of)
    with served(queue, model, datasets.folder) as client:
        digest = (await client.post("/api/v1/datasets", content=npz(inputs=X.numpy()))).json()["digest"]
        body = {"model": "toy", "method": {"name": "activation_rates", "dataset": digest}}
        begun = await client.post("/api/v1/explanations", json=body, headers={"prefer": "respond-async"})
        assert begun.status_code == 202
        job = state_job(model, datasets.card(digest))
        assert begun.json()["id"] == job.id
        worker.answer(keys.BATCH)
        shown = (await client.get(begun.headers["location"])).json()
        assert (shown["kind"], shown["input"], shown["target"], shown["prediction"]) == ("state", None, None, [])
        expected = rates_of(model, X)
        assert shown["arrays"].keys() == expected.keys()
        for name, about in shown["arrays"].items():
            answer = await client.get(about["npy"])
            assert decode_npy(answer.content).shape == tuple(about["shape"])
            np.testing.assert_allclose(decode_npy(answer.content), expected[name], rtol=1e-6)
        for media, status in {"image/png": 406, "application/x-npy": 406, "text/html": 200}.items():
            answer = await client.get(begun.headers["location"], headers={"accept": media})
            assert answer.status_code == status
        assert (await client.get(f"{begun.headers['location']}/input.npy")).status_code == 404
        again = await client.post("/api/v1/explanations", json=body)
        assert again.headers["cache-status"] == "whence; hit"
