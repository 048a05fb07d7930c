"""What methods over datasets and judges say of texts is of their tokens, and of several inputs of each as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.resources import InMemory, InMemoryDataset, no_input
from tests.several import batch_of_inputs, model_of_inputs, toy
from tests.workers.methods.inputs.test_spread_of_tokens import TEXT, Texts
from workers.engine.model.inputs import named, piece
from workers.engine.model.model import Model
from workers.explanation.inputs import explained
from workers.explanation.result import Result
from workers.explanation.target import ClassTarget
from workers.methods.dataset.spray.heatmaps import places
from workers.methods.method import parse_method

GXI = "input_times_gradient"
IDS = torch.randint(1, 20, (30, 6), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of_inputs(Texts(0).double(), {"text": TEXT}, {"text": IDS})


@pytest.fixture(scope="module")
def resources(model: Model) -> InMemory:
    return InMemory({"d": InMemoryDataset(model.join({"text": IDS}))})


def arrays_of(found: Result, model: Model) -> dict[str, Any]:
    return {key: torch.as_tensor(one).numpy() for key, one in named(found, model.card.input, False).arrays.items()}


def told(model: Model, method: Any, ids: Tensor = IDS) -> Any:
    """One number for each token, (n, tokens)."""
    found = parse_method(method).explain(model, batch_of_inputs(model, {"text": ids}, 1))
    return arrays_of(found, model)["attribution.text"]


def over(model: Model, resources: InMemory, method: dict[str, Any]) -> dict[str, Any]:
    """The arrays of a method without an input."""
    batch = no_input(model, resources)
    batch.targets = [ClassTarget(index=1)]
    return arrays_of(parse_method(method).explain(model, batch), model)


def test_shares_are_those_of_the_tokens(model: Model, resources: InMemory) -> None:
    found = over(model, resources, {"name": "relevance_share", "dataset": "d", "of": GXI})
    maps = told(model, GXI)
    shares = maps / maps.sum(1, keepdims=True)
    np.testing.assert_allclose(found["scores"][0], shares.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found["std"][0], shares.std(0), rtol=1e-6)


def test_heat_maps_are_of_tokens_and_of_each_input_by_itself(model: Model) -> None:
    spec, maps = model.card.input, parse_method(GXI).explain(model, batch_of_inputs(model, {"text": IDS}, 1))
    values = torch.as_tensor(maps.arrays["attribution"])
    np.testing.assert_allclose(places(values, spec, None).numpy(), told(model, GXI), rtol=1e-9)
    _, both, rows = toy("image and row")
    x = both.join(rows)
    image, row = (piece(x, part) for part in explained(both.card.input))
    small = image.sum(1).view(len(x), 4, 2, 4, 2).mean((2, 4))
    torch.testing.assert_close(places(x, both.card.input, 4)[:, :16], small.flatten(1))
    pooled = torch.nn.functional.adaptive_avg_pool1d(row[:, None], 4)[:, 0]
    torch.testing.assert_close(places(x, both.card.input, 4)[:, 16:], pooled)


def test_clusters_are_of_what_is_looked_up_and_not_of_ids(model: Model, resources: InMemory) -> None:
    fit = {"name": "neon_fit", "dataset": "d", "clusters": 3}
    centres = over(model, resources, fit)["centres"]
    assert centres.shape[1:] == (3, 6 * 16)
    batch = batch_of_inputs(model, {"text": IDS[:4]}, 1)
    batch.resources = resources
    found = parse_method({"name": "neon", "fit": fit}).explain(model, batch)
    tokens = arrays_of(found, model)["attribution.text"]
    for row, checks in zip(tokens, found.checks, strict=True):
        assert row.sum() == pytest.approx(checks[0].observed, rel=1e-9)


@pytest.mark.parametrize("scale", ["largest", "sum"])
def test_maps_are_scaled_by_their_tokens(model: Model, scale: str) -> None:
    one, other = (told(model, name) for name in (GXI, "gradient"))
    one, other = (
        each / (np.abs(each).max(1) if scale == "largest" else np.abs(each).sum(1))[:, None] for each in (one, other)
    )
    found = told(model, {"name": "difference", "of": GXI, "less": "gradient", "scale": scale})
    np.testing.assert_allclose(found, one - other, rtol=1e-6, atol=1e-12)


def test_magnitudes_are_those_of_tokens(model: Model) -> None:
    batch = batch_of_inputs(model, {"text": IDS}, 1)
    found = parse_method({"name": "conservation", "of": [GXI]}).explain(model, batch).arrays["absolute"]
    np.testing.assert_allclose(torch.as_tensor(found)[:, 0].numpy(), np.abs(told(model, GXI)).sum(1), rtol=1e-6)


def test_top_items_are_texts_by_their_ids_and_inputs_by_their_names(model: Model, resources: InMemory) -> None:
    found = over(model, resources, {"name": "top_items", "dataset": "d", "count": 4})
    np.testing.assert_array_equal(found["synthesis.text"][0], IDS.numpy()[found["items"][0]])
    _, both, rows = toy("image and row")
    given = InMemory({"d": InMemoryDataset(both.join(rows))})
    shown = over(both, given, {"name": "top_items", "dataset": "d", "count": 2})
    for name, values in rows.items():
        np.testing.assert_allclose(shown[f"synthesis.{name}"][0], values.numpy()[shown["items"][0]], rtol=1e-6)
