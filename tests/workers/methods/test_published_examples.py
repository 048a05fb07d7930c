"""Examples that papers and libraries have published with their numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import attribution
from tests.workers.methods.reference_cases import lrp
from workers.engine.model.model import Model


def dense(*weights: list[list[float]]) -> list[nn.Linear]:
    """Bias-free linear layers of these weights."""
    made = [nn.Linear(len(w[0]), len(w), bias=False) for w in weights]
    for layer, w in zip(made, weights, strict=True):
        layer.weight.data = torch.tensor(w, dtype=torch.float32)
    return made


EPSILON: dict[str, object] = {"rule": "epsilon", "epsilon": 1e-9}
GAMMA: dict[str, object] = {"rule": "gamma", "gamma": 0.25, "epsilon": 1e-12}


@pytest.mark.parametrize(
    ("a", "one", "three"),
    [
        ([1.0, 0.5], [5 / 6, -1 / 3], [1 / 3, 1 / 6]),
        ([0.8, 0.2], [0.75, -0.15], [0.48, 0.12]),
        ([2.0, 1.0], [5 / 3, -2 / 3], [2 / 3, 1 / 3]),
        ([1.0, 0.0], [1.0, 0.0], [1.0, 0.0]),
    ],
)
def test_two_implementations_of_one_function(a: list[float], one: list[float], three: list[float]) -> None:
    """S4 Fig. 13.5: max(0, a1 - a2) by one neuron and by three; the gradient does not see which, LRP-gamma does."""
    single_neuron = model_of(nn.Sequential(*dense([[1, -1]]), nn.ReLU()), (2,), dtype=torch.float64)
    first, second = dense([[1, 9], [0, 10]], [[1, -1]])
    three_neurons = model_of(nn.Sequential(first, nn.ReLU(), second, nn.ReLU()), (2,), dtype=torch.float64)
    x = torch.tensor([a], dtype=torch.float64)
    products = [
        attribution(model, batch_of(x, 0), name="input_times_gradient") for model in (single_neuron, three_neurons)
    ]
    torch.testing.assert_close(*products)
    assert lrp(single_neuron, [a], GAMMA)[0] == pytest.approx(one, abs=1e-6)
    assert lrp(three_neurons, [a], GAMMA)[0] == pytest.approx(three, abs=1e-6)


@pytest.mark.parametrize(("theta", "share"), [(0, 0.5), (1, 0.54545), (10, 0.75), (1000, 0.99505)])
def test_a_neuron_split_in_two_draws_relevance_to_itself(theta: float, share: float) -> None:
    """S4 l.4672: copies weighted w + theta and -theta leave the function as it is."""
    first, second = dense([[1, 0], [0, 1], [0, 1]], [[1, 1 + theta, -theta]])
    model = model_of(nn.Sequential(first, nn.ReLU(), second), (2,), dtype=torch.float64)
    assert float(model.forward(torch.ones(1, 2, dtype=torch.float64))) == pytest.approx(2)
    assert lrp(model, [[1.0, 1.0]], GAMMA)[0][1] / 2 == pytest.approx(share, abs=1e-5)


def simple(corner: float = 2.0, weight: float = 2.0, top: float = 3.0, between: nn.Module | None = None) -> Model:
    """Captum's SimpleLRPModel: 3 -> 3 -> 1, one weight in each layer but for the corner of the first."""
    first, second = dense([[corner, weight, weight], [weight] * 3, [weight] * 3], [[top] * 3])
    return model_of(nn.Sequential(first, between or nn.ReLU(), second), (3,), dtype=torch.float64)


def test_captums_simple_model() -> None:
    """The numbers of Captum's own tests. Its two-input model (16, 32, 48) has no twin: a Whence model takes one."""
    x = [1.0, 2.0, 3.0]
    assert lrp(simple(), [x, [3.0, 6.0, 9.0]], EPSILON) == [
        pytest.approx([18, 36, 54]),
        pytest.approx([54, 108, 162]),
    ]
    gamma: dict[str, object] = {"rule": "gamma", "gamma": 1, "epsilon": 1e-9}
    assert lrp(simple(corner=-2), [x], gamma)[0] == pytest.approx([28 / 3, 104 / 3, 52])
    alpha: dict[str, object] = {"rule": "alpha_beta", "alpha": 1, "epsilon": 1e-9}
    assert lrp(simple(corner=-2), [x], alpha)[0] == pytest.approx([12, 33.6, 50.4])
    tanh = simple(corner=0.1, weight=0.1, top=0.1, between=nn.Tanh())
    assert lrp(tanh, [x], EPSILON)[0] == pytest.approx([0.0269, 0.0537, 0.0806], abs=1e-4)


def test_captums_identity_rule_is_relevance_read_above_that_layer() -> None:
    """Its IdentityRule hands a layer's relevance through unchanged, whichever unit is whose: no rule of ours."""
    assert lrp(simple(corner=-2), [[1.0, 2.0, 3.0]], EPSILON, to="0")[0] == pytest.approx([24, 36, 36])


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        (self.linear,) = dense([[5, 5], [5, 5]])

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.linear(x) + x
        return output


def test_captums_skip_connection_without_its_addition_module() -> None:
    assert lrp(model_of(Skip(), (2,), dtype=torch.float64), [[2.0, 3.0]], EPSILON, 1)[0] == pytest.approx([10, 18])


def test_captums_maximum_pooling() -> None:
    two = model_of(nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), (1, 2, 2), dtype=torch.float64)
    assert lrp(two, [[[[1.0, 2.0], [5.0, 6.0]]]], EPSILON)[0] == [[[0, 0], [0, pytest.approx(6)]]]
    one = nn.Sequential(*dense([[2, 2], [2, 2]]), nn.MaxPool1d(2), nn.Flatten())
    found = lrp(model_of(one, (2, 2), dtype=torch.float64), [[[1.0, 2.0], [5.0, 6.0]]], EPSILON, 1)
    assert found[0] == [[0, 0], [pytest.approx(10), pytest.approx(12)]]
