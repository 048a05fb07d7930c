"""Methods that look at datasets, and methods held in fields of others: from the request to the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.orders import work
from tests.toys import batch_of, model_of, net
from tests.workers.datasets.dataset_files import PETS, npz, placed, png, sent
from tests.workers.methods.held_runs import BOXES, MASKS, X, explained, insens, rates_of, state_job, unnamed
from workers.datasets.card import DatasetCard
from workers.datasets.library import Datasets
from workers.engine.model.batch import Batch, silent
from workers.engine.model.model import Model
from workers.explanation.errors import (
    InvalidDataset,
    InvalidParameter,
    MethodNotApplicable,
    UnknownDataset,
)
from workers.explanation.images.decoding import prepare
from workers.explanation.tensors import decode_npy, encode_npy
from workers.jobs.partials import Partials
from workers.jobs.stored_results import Results
from workers.methods.method import parse_method
from workers.methods.structure.activation_rates import ActivationRates
from workers.runtime.execute.model_support import check
from workers.runtime.execute.resources import Stock
from workers.runtime.execute.run import run


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


@pytest.fixture(scope="module")
def pictures() -> Model:
    return model_of(net(), (1, 8, 8), image=True)


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


@pytest.mark.parametrize(
    ("method", "pointer"),
    [
        ({"name": "neon", "fit": {"name": "neon_fit", "clusters": 11}}, "/method/fit/clusters"),
        ({"name": "neon", "fit": {"name": "neon_fit", "layer": "nowhere"}}, "/method/fit/layer"),
        ({"name": "neon", "fit": {"name": "neon_fit", "clusters": 2}, "cluster": 2}, "/method/cluster"),
        ({"name": "smooth_grad", "of": {"name": "grad_cam", "layer": "nowhere"}}, "/method/of/layer"),
        ({"name": "compare", "of": ["gradient", {"name": "grad_cam", "layer": "nowhere"}]}, "/method/of/1/layer"),
        (
            {"name": "compare", "of": ["gradient", {"name": "smooth_grad", "of": {"name": "grad_cam", "layer": "no"}}]},
            "/method/of/1/of/layer",
        ),
        ({"name": "grad_cam", "layer": "nowhere"}, "/method/layer"),
        ({"name": "collection", "of": {"name": "grad_cam", "layer": "nowhere"}}, "/method/layer"),
    ],
)
def test_an_error_of_a_held_method_points_at_the_field_that_was_sent(
    stock: Stock, model: Model, card: DatasetCard, method: dict[str, Any], pointer: str
) -> None:
    """A collection is asked for by the method that it holds."""
    held = [method["fit"]] if "fit" in method else [method] if method["name"] == "collection" else []
    for one in held:
        one["dataset"] = card.digest
    works = [work(method=method, value=value) for value in (0.1, 0.2)]
    outcomes = dict(run(works, lambda _: model, supply=stock.of))
    assert [getattr(outcome, "pointer", None) for outcome in outcomes.values()] == [pointer] * 2


def test_so_does_one_that_is_found_before_any_work(model: Model) -> None:
    method = parse_method({"name": "compare", "of": ["gradient", {"name": "grad_cam", "layer": "nowhere"}]})
    for _ in range(2):
        with pytest.raises(InvalidParameter) as error:
            check(model, method)
        assert error.value.pointer == "/method/of/1/layer"
