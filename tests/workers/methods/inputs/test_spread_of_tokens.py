"""How far a token's number may be off is told of that number: the sum over its embedding, not of each of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.resources import InMemory
from tests.several import batch_of_inputs, model_of_inputs
from workers.engine.model.inputs import named
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.methods.method import parse_method

TEXT = InputSpec(shape=(6,), dtype="int64", padding=0)
IDS = torch.tensor([[3, 5, 2, 7, 1, 0]])
OWN = 5  # tokens before the padding
TARGET = 1


class Texts(nn.Module):
    """Vectors of 16 numbers, of which tokens in company change what the score says of each."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.table, self.hidden = nn.Embedding(20, 16, padding_idx=0), nn.Linear(16, 24)
        self.drop, self.head = nn.Dropout(0.4), nn.Linear(24, 3)

    def forward(self, ids: Tensor) -> Tensor:
        output: Tensor = self.head(self.drop(torch.tanh(self.hidden(self.table(ids).sum(1)))))
        return output


def model_of_texts(seed: int = 0) -> Model:
    digest = f"sha256:{seed:064x}"
    return model_of_inputs(Texts(seed).double(), {"text": TEXT}, {"text": IDS.repeat(2, 1)}, digest=digest)


def told(model: Model, method: Any, repeats: int, resources: InMemory | None = None) -> dict[str, Any]:
    """The arrays of a method as a person has them, of one text so often as another seed each time."""
    rows = {"text": IDS.repeat(repeats, 1)}
    batch = batch_of_inputs(model, rows, TARGET, seeds=list(range(repeats)))
    if resources is not None:
        batch.resources = resources
    found = parse_method(method).explain(model, batch)
    arrays = named(found, model.card.input, maps=False).arrays
    return {key.removesuffix(".text"): torch.as_tensor(one).numpy() for key, one in arrays.items()} | {
        "info": found.info
    }


@pytest.mark.parametrize(
    ("method", "stated"),
    [
        ({"name": "smooth_grad", "of": "input_times_gradient", "samples": 20, "noise": 0.5}, "standard_error"),
        ({"name": "expected_gradients", "samples": 20}, "standard_error"),
        ({"name": "mc_dropout", "of": "input_times_gradient", "samples": 20}, "std"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_what_is_stated_of_a_token_is_what_repeated_runs_differ_by(method: dict[str, Any], stated: str) -> None:
    found = told(model_of_texts(), method, repeats=60)
    assert found[stated].shape == found["attribution"].shape == (60, 6)
    error = found[stated].mean(0) / (1 if stated == "standard_error" else method["samples"] ** 0.5)
    assert error[:OWN] == pytest.approx(found["attribution"].std(0)[:OWN], rel=0.35)
    assert error[:OWN].mean() == pytest.approx(found["attribution"].std(0)[:OWN].mean(), rel=0.15)
    assert not found[stated][:, OWN:].any()


def test_square_and_variance_are_those_of_a_tokens_own_number() -> None:
    asked = {"name": "smooth_grad", "of": "input_times_gradient", "samples": 9, "noise": 0.5}
    mean, square, variance = (
        told(model_of_texts(), {**asked, "reduce": reduce}, repeats=2) for reduce in ("mean", "square", "variance")
    )
    expected = mean["standard_error"] ** 2 * 8
    np.testing.assert_allclose(variance["attribution"], expected, rtol=1e-6)
    np.testing.assert_allclose(square["attribution"], expected + mean["attribution"] ** 2, rtol=1e-6)


def test_by_class_too() -> None:
    asked = {"name": "mc_dropout", "of": "gradient", "samples": 30, "classes": 3}
    alone, by_class = (told(model_of_texts(), {**asked, "approach": one}, repeats=1) for one in ("target", "all"))
    assert by_class["by_class_std"].shape == (1, 3, 6)
    np.testing.assert_allclose(by_class["by_class_std"][:, TARGET], alone["std"], rtol=1e-6)


def test_over_models_they_are_of_the_models_own_numbers_of_each_token() -> None:
    models = [model_of_texts(seed) for seed in range(3)]
    resources = InMemory({}, models={"second": models[1], "third": models[2]})
    method = {"name": "resampling", "of": "input_times_gradient", "models": ["second", "third"]}
    found = told(models[0], method, 1, resources)
    maps = np.stack([told(one, "input_times_gradient", 1)["attribution"][0] for one in models])
    mean, std = maps.mean(0), maps.std(0, ddof=1)
    np.testing.assert_allclose(found["attribution"][0], mean, rtol=1e-6)
    np.testing.assert_allclose(found["std"][0], std, rtol=1e-6)
    np.testing.assert_allclose(found["effect"][0, :OWN], mean[:OWN] / std[:OWN], rtol=1e-6)
    pairs = np.corrcoef(maps[:, :OWN])[np.triu_indices(3, 1)]
    assert found["info"][0]["correlation"] == pytest.approx(pairs.mean(), rel=1e-6)
