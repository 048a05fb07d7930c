"""A baseline of one's own, the mean of a dataset, white, a number a channel: of f = w.x all give w (x - x')."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.resources import in_memory
from tests.toys import batch_of, inputs, model_of
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, UnknownInput
from workers.methods.method import parse_method

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
X = torch.rand(2, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
OWN = torch.rand(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
DATA = torch.rand(150, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
BASELINES: list[tuple[Any, Tensor]] = [
    ({"digest": DIGEST}, OWN),
    ({"dataset": "training", "mean": True}, DATA.mean(0)),
    ([0.25, -2.0], torch.tensor([0.25, -2.0]).double().view(2, 1, 1).expand(2, 3, 3)),
    ("white", torch.tensor([1.5, 3.0]).double().view(2, 1, 1).expand(2, 3, 3)),
]


@pytest.fixture(scope="module")
def module() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(18, 3).double()


@pytest.fixture(scope="module")
def model(module: nn.Linear) -> Model:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(18, 3))
    linear[1].load_state_dict(module.state_dict())
    return model_of(linear, (2, 3, 3), dtype=torch.float64, low=(-1.0, 0.0), high=(1.5, 3.0))


def batch(x: Tensor = X) -> Batch:
    found = in_memory(DATA)
    found.inputs[DIGEST] = OWN
    found.inputs[OTHER] = OWN[:1]
    return batch_of(x, 1, resources=found)


@pytest.mark.parametrize(("given", "there"), BASELINES, ids=["own", "mean", "channels", "white"])
@pytest.mark.parametrize(
    "method",
    [
        {"name": "integrated_gradients", "steps": 3},
        {"name": "deep_lift"},
        {"name": "deep_lift", "rule": "reveal_cancel"},
    ],
    ids=["ig", "rescale", "reveal_cancel"],
)
def test_a_linear_score_is_shared_by_weight_times_difference(
    module: nn.Linear, model: Model, method: dict[str, Any], given: Any, there: Tensor
) -> None:
    found = parse_method({**method, "baseline": given}).explain(model, batch())
    wanted = module.weight[1].detach().view(2, 3, 3) * (X - there)
    torch.testing.assert_close(found.arrays["attribution"], wanted, rtol=1e-10, atol=1e-12)
    assert all(check.gap < 1e-9 for row in found.checks for check in row)


@pytest.mark.parametrize(("given", "there"), BASELINES, ids=["own", "mean", "channels", "white"])
@pytest.mark.parametrize("name", ["occlusion", "kernel_shap", "shapley_sampling"])
def test_what_is_taken_away_leaves_it_behind(
    module: nn.Linear, model: Model, name: str, given: Any, there: Tensor
) -> None:
    more: dict[str, Any] = {"patch": 1} if name == "occlusion" else {"segments": "grid", "count": 9}
    found = parse_method({"name": name, **more, "fill": given}).explain(model, batch())
    wanted = (module.weight[1].detach().view(2, 3, 3) * (X - there)).sum(1, keepdim=True)
    got = found.arrays["attribution"].to(wanted)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


def test_another_shape_is_told_and_so_is_what_is_not_there(model: Model) -> None:
    with pytest.raises(InvalidParameter, match=r"shape \[1, 3, 3\].*has \[2, 3, 3\]"):
        parse_method({"name": "deep_lift", "baseline": {"digest": OTHER}}).explain(model, batch())
    with pytest.raises(InvalidParameter, match="has 3 numbers, and the input has 2 channels"):
        parse_method({"name": "occlusion", "fill": [1, 2, 3]}).explain(model, batch())
    with pytest.raises(UnknownInput):
        parse_method({"name": "deep_lift", "baseline": {"digest": "sha256:" + "c" * 64}}).explain(model, batch())


def test_of_a_row_alone_as_in_company(model: Model) -> None:
    method = parse_method({"name": "integrated_gradients", "baseline": {"dataset": "training", "mean": True}})
    whole = method.explain(model, batch()).arrays["attribution"]
    assert torch.equal(method.explain(model, batch(X[1:])).arrays["attribution"][0], whole[1])


@pytest.mark.parametrize("given", ["blak", {"dataset": "d"}, {"dataset": "d", "mean": False}, [], {"digest": "x"}])
def test_what_is_no_baseline_is_told_in_one_sentence(given: Any) -> None:
    with pytest.raises(
        ValueError, match=r"1 validation error[^!]*one of zero, minimum, .*a list of one number a channel"
    ):
        parse_method({"name": "integrated_gradients", "baseline": given})


def test_the_mean_of_a_dataset_without_items_is_refused(model: Model) -> None:
    empty = batch_of(X, 1, resources=in_memory(inputs(0)))
    with pytest.raises(InvalidParameter, match="holds no items"):
        parse_method({"name": "deep_lift", "baseline": {"dataset": "training", "mean": True}}).explain(model, empty)
