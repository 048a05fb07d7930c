"""Methods that look at datasets, and methods held in fields of others: from the request to the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from redis import Redis

from service.app import create_app
from service.queue.queue import Queue
from service.settings import Settings
from tests.orders import work
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.datasets.dataset_files import PETS, npz, placed, png, sent
from workers.datasets.card import DatasetCard
from workers.datasets.library import Datasets
from workers.engine.model.batch import Batch, silent
from workers.engine.model.model import Model
from workers.explanation.errors import (
    Cancelled,
    InvalidDataset,
    InvalidParameter,
    MethodNotApplicable,
    UnknownDataset,
    UnknownModel,
)
from workers.explanation.images.decoding import prepare
from workers.explanation.result import Attribution
from workers.explanation.tensors import decode_npy, encode_npy
from workers.jobs import keys
from workers.jobs.job import Job
from workers.jobs.partials import Partials
from workers.jobs.records import Store, Work
from workers.jobs.stored_results import Finished, Results
from workers.methods.cost import rows_per_batch
from workers.methods.gradient.gradient import Gradient
from workers.methods.gradient.input_times_gradient import InputTimesGradient
from workers.methods.method import parse_method
from workers.methods.structure.activation_rates import ActivationRates
from workers.runtime.execute.resources import Stock, Supplied
from workers.runtime.execute.run import run
from workers.runtime.worker import Worker

X = inputs(10, seed=5)
MASKS = np.arange(10 * 2 * 64).reshape(10, 2, 8, 8) % 5 == 0
BOXES = np.array([[0, 0, 0.5, 1]] * 10, np.float32)


def unnamed(name: str) -> Model:
    raise UnknownModel(f"the model {name} is not served here")


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8))


@pytest.fixture(scope="module")
def pictures() -> Model:
    return model_of(net(), (1, 8, 8), image=True)


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(tmp_path)


@pytest.fixture
def stock(datasets: Datasets, results: Results) -> Stock:
    return Stock(datasets, results, Partials(results.cache), unnamed)


@pytest.fixture
def card(datasets: Datasets) -> DatasetCard:
    return sent(datasets, npz(inputs=X.numpy(), labels=np.arange(10) % 3, masks=MASKS, boxes=BOXES))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The dataset of each fit of activation rates that is computed."""
    fitted: list[str] = []
    explain = ActivationRates.explain

    def explained(method: ActivationRates, model: Model, batch: Batch) -> Any:
        fitted.append(method.dataset)
        return explain(method, model, batch)

    monkeypatch.setattr(ActivationRates, "explain", explained)
    return fitted


def rates_of(model: Model, x: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """By hand: where the input of each ReLU is positive, and how often."""
    graph = model.folded
    layers = sorted({node.inputs[0] for node in graph.nodes if node.op == "relu"})
    _, values = graph.run(x, layers)
    return {graph.nodes[i].layer: (values[i] > 0).double().mean(0).numpy() for i in layers}


def insens(card: DatasetCard, value: float = 0.5) -> Work:
    return work(method={"name": "insens", "rates": {"name": "activation_rates", "dataset": card.digest}}, value=value)


def state_job(model: Model, card: DatasetCard) -> Job:
    method = parse_method({"name": "activation_rates", "dataset": card.digest})
    return Job(model=model.card.digest, input=None, target=None, method=method)


def explained(works: list[Work], model: Model, stock: Stock) -> list[Finished]:
    found = {each.id: outcome for each, outcome in run(works, lambda _: model, supply=stock.of)}
    outcomes = [found[each.id] for each in works]
    assert all(isinstance(outcome, Finished) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Finished)]


def test_a_dataset_is_the_models_input_in_order_and_tells_how_far_it_is(
    stock: Stock, model: Model, card: DatasetCard
) -> None:
    told: list[tuple[int, int, str]] = []
    dataset = stock.of(model, lambda *so_far: told.append(so_far), None).dataset(card.digest)
    assert (dataset.digest, dataset.count, dataset.classes) == (card.digest, 10, ("0", "1", "2"))
    items = list(dataset.batches(4))
    assert [each.start for each in items] == [0, 4, 8]
    assert told == [(4, 10, "inputs"), (8, 10, "inputs"), (10, 10, "inputs")]
    assert torch.equal(torch.cat([each.x for each in items]), X)
    for each in items:
        part = slice(each.start, each.start + 4)
        assert each.masks is not None
        assert each.masks.dtype == torch.bool
        np.testing.assert_array_equal(each.masks.numpy(), MASKS[part])
        assert each.labels is not None
        assert each.labels.tolist() == [i % 3 for i in range(10)][part]
        assert each.boxes is not None
        np.testing.assert_array_equal(each.boxes, BOXES[part])


def test_images_become_what_the_model_takes(stock: Stock, pictures: Model, datasets: Datasets) -> None:
    placed(datasets.folder / "pets", PETS)
    spec = pictures.card.input
    assert spec.image is not None
    expected = np.stack([prepare(data, spec.image, spec.shape)[0] for data in PETS.values()])
    (items,) = stock.of(pictures, silent, None).dataset("pets").batches(100)
    np.testing.assert_array_equal(items.x.numpy(), expected)
    assert (items.masks, items.boxes) == (None, None)


def test_a_dataset_that_does_not_fit_the_model_is_told(
    stock: Stock, model: Model, pictures: Model, datasets: Datasets
) -> None:
    placed(datasets.folder / "pets", PETS)
    placed(datasets.folder / "mixed", {**PETS, "dog/8.png": png(1, side=9), "dog/9.png": b"no image"})
    with pytest.raises(InvalidDataset, match="holds images"):
        stock.of(model, silent, None).dataset("pets")
    with pytest.raises(InvalidDataset, match=r"shape \[2\]"):
        stock.of(model, silent, None).dataset(sent(datasets, npz(inputs=np.zeros((3, 2)))).digest)
    with pytest.raises(InvalidDataset, match="item 6 of the dataset: the image has 9 x 9 pixels"):
        list(stock.of(pictures, silent, None).dataset("mixed").batches(2))
    with pytest.raises(UnknownDataset):
        stock.of(model, silent, None).dataset("nothing")


def test_a_held_method_is_computed_once_and_kept_under_its_own_id(
    stock: Stock, model: Model, card: DatasetCard, results: Results, fits: list[str]
) -> None:
    explained([insens(card, 0.1), insens(card, 0.2)], model, stock)
    explained([insens(card, 0.3)], model, stock)
    explained([insens(card, 0.4)], model, Stock(stock.datasets, results, Partials(results.cache), unnamed))
    assert fits == [card.digest]
    job = state_job(model, card)
    meta, kept = results.meta(job.id), results.arrays(job.id)
    assert meta is not None
    assert kept is not None
    assert (meta["kind"], meta["input"], meta["target"], meta["prediction"]) == ("state", None, None, [])
    assert meta["receipt"]["job"] == job.canonical()
    expected = rates_of(model, X)
    assert kept.keys() == expected.keys() == meta["arrays"].keys()
    for name, data in kept.items():
        np.testing.assert_allclose(decode_npy(data), expected[name], rtol=1e-6)


def test_a_held_method_that_names_its_dataset_is_the_one_that_gives_its_digest(
    stock: Stock, model: Model, results: Results
) -> None:
    placed(stock.datasets.folder / "toy", {"inputs.npy": encode_npy(X.numpy())})
    stock.of(model, silent, None).state(model, parse_method({"name": "activation_rates", "dataset": "toy"}))
    assert results.meta(state_job(model, stock.datasets.card("toy")).id) is not None


def test_the_numbers_are_those_of_the_method_itself(stock: Stock, model: Model, card: DatasetCard) -> None:
    """Through the worker, its store and its memory as by one call on tensors in hand."""
    asked = insens(card)

    class InHand:
        def dataset(self, name: str) -> Any:
            raise AssertionError(name)

        def state(self, _: Any, __: Any) -> dict[str, Any]:
            return {name: rate.astype(np.float32) for name, rate in rates_of(model, X).items()}

    alone = asked.job.method.explain(model, batch_of(torch.full((1, 1, 8, 8), 0.5), resources=InHand())).rows()[0]
    for _ in range(2):
        (outcome,) = explained([asked], model, stock)
        found = decode_npy(outcome.arrays["attribution"])
        np.testing.assert_allclose(found, alone.arrays["attribution"], rtol=1e-5, atol=1e-7)


def test_a_held_method_that_cannot_be_computed_is_tried_once_for_the_whole_batch(
    stock: Stock, model: Model, card: DatasetCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def explain(method: ActivationRates, _: Model, __: Batch) -> Any:
        tried.append(method)
        raise MethodNotApplicable("the node tanh has no rule")

    monkeypatch.setattr(ActivationRates, "explain", explain)
    works = [insens(card, value) for value in (0.1, 0.2, 0.3)]
    outcomes = dict(run(works, lambda _: model, supply=stock.of))
    assert len(outcomes) == 3
    assert {type(outcome) for outcome in outcomes.values()} == {MethodNotApplicable}
    for told in {getattr(outcome, "detail", "") for outcome in outcomes.values()}:
        assert told.startswith("the node tanh has no rule")
        assert told.count("work here") <= 1, told
    assert len(tried) == 1


def test_a_method_that_explains_an_input_cannot_be_held_so(stock: Stock, model: Model) -> None:
    with pytest.raises(InvalidParameter, match="gradient explains an input"):
        stock.of(model, silent, None).state(model, parse_method("gradient"))


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


@contextmanager
def served(queue: Queue, model: Model, folder: Path) -> Iterator[httpx.AsyncClient]:
    queue.cards = lambda: {"toy": model.card}  # type: ignore[method-assign]
    app = create_app(Settings(datasets=folder, log_level="CRITICAL"), queue)
    yield httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://whence")


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
