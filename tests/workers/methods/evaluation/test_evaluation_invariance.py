"""Implementation invariance and input shift invariance: the closed forms and the yes and no of the book."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.resources import in_memory
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.evaluation.judging import Difference, assert_close, judged, noise, training
from workers.engine.model.model import Model
from workers.engine.model.resources import NoResources
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import ValueTarget
from workers.methods.method import parse_method
from workers.methods.nested.shifted_model import pattern, shifted
from workers.methods.nested.split_neurons import split

VALUE = ValueTarget()
GAMMA: dict[str, Any] = {"name": "lrp", "composite": "gamma"}
EPSILON: dict[str, Any] = {"name": "lrp", "composite": "epsilon"}


class Two(nn.Module):
    """max(0, max(0, a1 + 9 a2) - max(0, 10 a2))"""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
        self.first.weight.data = torch.tensor([[1.0, 9.0], [0.0, 10.0]])
        self.second.weight.data = torch.tensor([[1.0, -1.0]])

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))))


@pytest.mark.parametrize(
    ("a", "first", "second"),
    [
        ((1, 0.5), (5 / 6, -1 / 3), (1 / 3, 1 / 6)),
        ((0.8, 0.2), (0.75, -0.15), (0.48, 0.12)),
        ((2, 1), (5 / 3, -2 / 3), (2 / 3, 1 / 3)),
        ((1, 0), (1, 0), (1, 0)),
    ],
)
def test_two_nets_of_one_function_as_the_book_has_them(a: Any, first: Any, second: Any) -> None:
    """S4 Fig. 13.5: gradient times input is the same for both, LRP-gamma is not."""
    one, two = model_of(Difference(), (2,), output="value"), model_of(Two(), (2,), output="value")
    resources = in_memory(noise(2, 2))
    resources.models["two"] = two
    method = {"name": "implementation_invariance", "of": ["input_times_gradient", GAMMA], "other": "two", "noise": 0}
    (row,) = judged(one, torch.tensor([a], dtype=torch.float32), method, VALUE, resources=resources)
    expected = float(np.linalg.norm(np.subtract(first, second)) / np.linalg.norm(first))
    np.testing.assert_allclose(row.arrays["scores"], [0.0, expected], atol=1e-5)
    assert_close(row.arrays["first"], [a[0] - a[1]] * 2)
    assert_close(row.arrays["second"], [a[0] - a[1]] * 2)


def of_split(a: Tensor, w: Tensor, theta: float) -> Tensor:
    """What LRP-gamma gives each of the neurons a below one of weights w, split by theta, for a score of a . w."""
    up = w + 0.25 * (w + theta).clamp(min=0) + 0.25 * max(-theta, 0.0)
    return a * up / (a * up).sum() * (a @ w)


def test_splitting_follows_the_formula_of_the_book() -> None:
    """Each neuron becomes two, w + t and -t: their sum is that of w with t in its positive part alone."""
    torch.manual_seed(0)
    below, above = nn.Linear(4, 3, bias=False), nn.Linear(3, 1, bias=False)
    below.weight.data.abs_()
    above.weight.data = torch.tensor([[0.5, -0.3, 0.9]])
    model, x = model_of(nn.Sequential(below, nn.ReLU(), above), (4,), output="value"), torch.rand(1, 4) + 0.5
    twin, _ = split(model, 3.0)
    a, w = torch.relu(below(x))[0].detach(), above.weight.data[0]
    at = {**GAMMA, "to": "1"}
    explained = parse_method(at).explain(twin, batch_of(x, VALUE)).arrays["attribution"][0]
    assert_close(explained, of_split(a, w, 3.0 * float(w.std())), 1e-4)
    before = parse_method(at).explain(model, batch_of(x, VALUE)).arrays["attribution"][0]
    assert_close(before, of_split(a, w, 0.0), 1e-4)


@pytest.mark.parametrize("norm", [True, False])
def test_a_split_net_computes_the_same_and_its_gradient_stays(norm: bool) -> None:
    model = model_of(net(norm=norm), (1, 8, 8))
    before = model.forward(inputs(2))
    twin, layers = split(model, 10.0)
    assert layers == ["conv2", "fc"]
    assert_close(twin.forward(inputs(2)), before, 1e-4)
    assert torch.equal(model.forward(inputs(2)), before)
    method = {"name": "implementation_invariance", "of": ["input_times_gradient", GAMMA]}
    (row,) = judged(model, inputs(1), method)
    assert row.arrays["scores"][0] < 1e-4
    assert row.arrays["scores"][1] > 1e-2
    assert row.info["split"] == layers


def test_models_of_two_functions_are_not_compared() -> None:
    one, two = (model_of(net(seed), (1, 8, 8)) for seed in (0, 1))
    resources = in_memory(inputs(2))
    resources.models |= {"two": two, "wide": model_of(net(), (1, 8, 8), labels=("a", "b", "c"))}
    with pytest.raises(InvalidParameter, match="do not compute the same function"):
        judged(one, inputs(1), {"name": "implementation_invariance", "other": "two"}, resources=resources)
    resources.models["flat"] = model_of(nn.Linear(4, 3), (4,))
    with pytest.raises(InvalidParameter, match="input of the shape"):
        judged(one, inputs(1), {"name": "implementation_invariance", "other": "flat"}, resources=resources)


def test_a_model_of_one_layer_cannot_be_split() -> None:
    with pytest.raises(MethodNotApplicable, match="name a second model"):
        judged(model_of(nn.Linear(4, 2), (4,)), noise(1, 4), {"name": "implementation_invariance"})


class Digits(nn.Module):
    """A net of dense layers on a picture in [0, 1], as in S4 14.2.1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.net(x)
        return output


@pytest.fixture(scope="module")
def digits() -> Model:
    return model_of(Digits(), (1, 8, 8), low=0.0, high=1.0)


PICTURES = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(7))
IG: dict[str, Any] = {"name": "integrated_gradients", "steps": 20}
BLACK: dict[str, Any] = {**IG, "baseline": "minimum"}
ATTRIBUTION: dict[str, Any] = {"name": "pattern_attribution"}


def smooth(of: Any) -> dict[str, Any]:
    return {"name": "smooth_grad", "of": of, "samples": 3}


YES = ["gradient", "guided_backprop", "pattern_net", ATTRIBUTION]
NO = ["input_times_gradient", IG, EPSILON, smooth("input_times_gradient"), smooth(IG)]
UNLESS_A_PICTURE = [BLACK, smooth(BLACK), smooth("gradient"), smooth(ATTRIBUTION)]


@pytest.mark.parametrize("shift", ["constant", "checkerboard"])
def test_the_pattern_of_the_book(digits: Model, shift: str) -> None:
    """S4 Fig. 14.2-14.5: who stays when [0, 1] becomes [-1, 0], and when a checkerboard is added.

    The board widens the input's range, and with it the noise of smooth_grad: so that moves too.
    """
    of = [*YES, *NO, *UNLESS_A_PICTURE]
    method = {"name": "input_shift_invariance", "of": of, "shift": shift}
    (row,) = judged(digits, PICTURES[:1], method, 1, resources=training(PICTURES))
    said = [(one["label"], stays) for one, stays in zip(row.info["methods"], row.info["invariant"], strict=True)]
    assert len({label for label, _ in said}) == len(of)
    expected = [True] * len(YES) + [False] * len(NO) + [shift == "constant"] * len(UNLESS_A_PICTURE)
    assert [stays for _, stays in said] == expected, said
    assert_close(row.arrays["first"], row.arrays["second"], 1e-4)


def test_patterns_as_printed_move_with_the_shift(digits: Model) -> None:
    """Equation 8 of S2 with E[y] as printed: fitted to shifted data, it is another pattern."""
    uncentred = {"name": "pattern_attribution", "patterns": {"name": "pattern_fit", "centred": False}}
    method = {"name": "input_shift_invariance", "of": uncentred}
    (row,) = judged(digits, PICTURES[:1], method, 1, resources=training(PICTURES))
    assert row.info["invariant"] == [False]


@pytest.mark.parametrize("shift", ["constant", "checkerboard"])
@pytest.mark.parametrize("norm", [True, False])
def test_zeros_around_a_convolution_are_made_up_for(norm: bool, shift: str) -> None:
    """What others get wrong: with padding the first bias differs from place to place. The gradient is exact."""
    model = model_of(net(norm=norm), (1, 8, 8), low=-1.0, high=2.0)
    moved = pattern(model, shift, 0.7, NoResources())
    twin = shifted(model, moved)
    assert_close(twin.forward(inputs(2) + moved), model.forward(inputs(2)), 1e-4)
    rows = judged(model, inputs(2), {"name": "input_shift_invariance", "shift": shift, "amount": 0.7})
    for row in rows:
        assert row.info["invariant"] == [True, False]
    assert float(moved.max()) == pytest.approx(0.7 * 3)


def test_the_difference_is_that_of_the_shift_times_the_gradient(digits: Model) -> None:
    """(x + m) g - x g = m g for gradient times input."""
    (row,) = judged(
        digits, PICTURES[:1], {"name": "input_shift_invariance", "of": "input_times_gradient", "noise": 0}, 1
    )
    slope = digits.gradient(PICTURES[:1], [batch_of(PICTURES[:1], 1).targets[0]])[1]
    assert_close(row.arrays["scores"][0], slope.norm() / (slope * PICTURES[:1]).norm(), 1e-4)


def test_bias_alone_moves_where_every_place_is_alike() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 36, 3))
    model = model_of(module, (1, 8, 8), low=0.0, high=1.0)
    twin = shifted(model, pattern(model, "constant", -1.0, NoResources()))
    assert len(twin.folded.nodes) == len(model.folded.nodes)
    assert_close(twin.range()[0], -1.0)  # type: ignore[index]  # the card gives one
    assert_close(twin.forward(inputs(1) - 1), model.forward(inputs(1)), 1e-4)


def test_an_input_that_meets_a_curve_first_is_refused() -> None:
    class Curved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.fc(x * x)
            return output

    with pytest.raises(MethodNotApplicable, match="mul"):
        judged(model_of(Curved(), (4,)), noise(1, 4), {"name": "input_shift_invariance"})
