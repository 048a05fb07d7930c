"""shift_attack: input times gradient of the second model is what was wanted, exactly (S4 l.4964)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.resources import in_memory
from tests.toys import batch_of, model_of
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.methods.method import parse_method

DIGEST, SMALL = "sha256:" + "a" * 64, "sha256:" + "b" * 64
X = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
WANTED = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    return model_of(module, (6,), dtype=torch.float64, low=0.0, high=1.0)


def batch() -> Batch:
    resources = in_memory(X)
    resources.inputs |= {DIGEST: WANTED, SMALL: WANTED[:2]}
    return batch_of(X, 1, resources=resources)


def test_input_times_gradient_is_what_was_wanted(model: Model) -> None:
    found = parse_method({"name": "shift_attack", "wanted": {"digest": DIGEST}}).explain(model, batch())
    torch.testing.assert_close(found.arrays["attribution"], WANTED.expand(3, 6), rtol=1e-9, atol=1e-12)
    slope = model.gradient(X, batch_of(X, 1).targets)[1]
    torch.testing.assert_close(found.arrays["shift"], WANTED / slope - X, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.arrays["first"], slope * X, rtol=1e-9, atol=1e-12)
    assert all(check.gap < 1e-9 for row in found.checks for check in row)
    assert [row["out_of_reach"] for row in found.info] == [0, 0, 0]


@pytest.mark.parametrize("name", ["gradient", "guided_backprop"])
def test_what_is_invariant_is_not_deceived(model: Model, name: str) -> None:
    found = parse_method({"name": "shift_attack", "of": name, "wanted": {"digest": DIGEST}}).explain(model, batch())
    torch.testing.assert_close(found.arrays["attribution"], found.arrays["first"], rtol=1e-9, atol=1e-12)


def test_a_clipped_shift_goes_no_further(model: Model) -> None:
    method = {"name": "shift_attack", "wanted": {"digest": DIGEST}, "clip": 0.3}
    found = parse_method(method).explain(model, batch())
    whole = parse_method({**method, "clip": None}).explain(model, batch())
    torch.testing.assert_close(found.arrays["shift"], whole.arrays["shift"].clamp(-0.3, 0.3))
    assert all(row["largest_shift"] <= 0.3 for row in found.info)
    assert all(check.gap < 1e-9 for row in found.checks for check in row)


def test_where_nothing_flows_nothing_is_shifted() -> None:
    module = nn.Linear(6, 1)
    module.weight.data = torch.tensor([[1.0, 0.0, 2.0, 0.0, -1.0, 3.0]])
    model = model_of(module, (6,), dtype=torch.float64, low=0.0, high=1.0)
    resources = in_memory(X)
    resources.inputs[DIGEST] = WANTED
    found = parse_method({"name": "shift_attack", "wanted": {"digest": DIGEST}}).explain(
        model, batch_of(X, 0, resources=resources)
    )
    assert [row["out_of_reach"] for row in found.info] == [2, 2, 2]
    wanted = torch.where(module.weight[0].detach() == 0, 0, WANTED)
    torch.testing.assert_close(found.arrays["attribution"], wanted.expand(3, 6), rtol=1e-9, atol=1e-12)


def test_another_shape_is_told(model: Model) -> None:
    with pytest.raises(InvalidParameter, match=r"this wanted has the shape \[2\].*\[6\]"):
        parse_method({"name": "shift_attack", "wanted": {"digest": SMALL}}).explain(model, batch())


def test_an_image_of_ones_own_is_a_shift(model: Model) -> None:
    """(x + m) g - x g = m g: the relative difference of input times gradient is |m g| / |x g|."""
    method = {"name": "input_shift_invariance", "of": "input_times_gradient", "shift": {"digest": DIGEST}}
    found = parse_method({**method, "amount": 0.5, "noise": 0}).explain(model, batch())
    slope = model.gradient(X, batch_of(X, 1).targets)[1]
    wanted = (0.5 * WANTED * slope).norm(dim=1) / (X * slope).norm(dim=1)
    torch.testing.assert_close(found.arrays["scores"][:, 0], wanted, rtol=1e-6, atol=1e-9)
