"""Models of several outputs: which is explained, and targets in the others, as a detector's score of a box."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.several import model_of_inputs
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder, InvalidTarget
from workers.explanation.request_target import parse_targets
from workers.methods.method import parse_method

SPEC = {"image": InputSpec(shape=(3, 8, 8))}


class Detector(nn.Module):
    """Of each of four places a box, and a score for each of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1, bias=False), nn.ReLU())
        self.boxes, self.scores = nn.Linear(6, 4, bias=False), nn.Linear(6, 3, bias=False)

    def forward(self, image: Tensor) -> dict[str, Any]:
        places = self.body(image).flatten(2).transpose(1, 2)
        scores = self.scores(places)
        return {"boxes": self.boxes(places), "scores": scores, "labels": scores.argmax(2)}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Detector().eval()


@pytest.fixture(scope="module")
def model(net: nn.Module) -> Model:
    rows = {"image": torch.randn(2, 3, 8, 8)}
    return model_of_inputs(net.float(), SPEC, rows, output="value", select="scores")


@pytest.mark.parametrize(
    ("raw", "key", "index"),
    [
        ({"output": "scores", "index": [2, 1]}, "scores", (2, 1)),
        ({"index": [2, 1]}, "scores", (2, 1)),
        ({"output": "boxes", "index": [3, 2]}, "boxes", (3, 2)),
    ],
)
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "lrp", "occlusion"])
def test_one_number_of_any_output_is_explained(
    net: nn.Module, model: Model, raw: Any, key: str, index: tuple[int, ...], method: str
) -> None:
    (target,) = parse_targets(raw, model.card)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = torch.as_tensor(parse_method(method).explain(model, Batch(x, [target] * 2)).arrays["attribution"])
    exact = net.double()
    given = x.clone().requires_grad_()
    score = exact(given)[key][(slice(None), *index)]
    (slope,) = torch.autograd.grad(score.sum(), given)
    net.float()
    if method == "gradient":
        torch.testing.assert_close(found, slope)
    elif method != "occlusion":
        torch.testing.assert_close(found.flatten(1).sum(1), score.detach(), rtol=1e-4, atol=1e-7)
    else:
        assert found.abs().sum() > 0


def test_the_card_names_the_outputs_that_have_numbers(model: Model) -> None:
    assert model.card.returned == {"scores": (4, 3), "boxes": (4, 4)}
    assert model.card.select == "scores"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"output": "labels", "index": [0]}, "no such output; there are: "),
        ({"output": "boxes", "index": [4, 0]}, r"within its shape \[4, 4\]"),
        ({"output": "boxes", "index": [0]}, r"within its shape \[4, 4\]"),
    ],
)
def test_a_target_beyond_the_outputs_is_refused(model: Model, raw: Any, told: str) -> None:
    with pytest.raises(InvalidTarget, match=told):
        parse_targets(raw, model.card)


def test_without_a_choice_the_outputs_are_named(net: nn.Module) -> None:
    with pytest.raises(InvalidFolder, match=r'returns boxes \[.*, 4, 4\]; scores .*; labels .* select = "boxes"'):
        model_of_inputs(net.float(), SPEC, {"image": torch.randn(2, 3, 8, 8)}, torch.float32)
