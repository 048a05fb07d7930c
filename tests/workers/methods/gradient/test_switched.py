"""switched_projection: x . w + b = v exactly, for any unit of any layer of a piecewise linear net (S0 section 3)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.result import Result
from workers.explanation.target import Target, UnitTarget
from workers.methods.catalogue import parse_method


def two_layers() -> nn.Module:
    """The net of the closed form: W1 = [[1, -1], [.5, 1]], b1 = (0, -1), W2 = [1, 2], b2 = .5."""
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    for layer, weight, bias in ((0, [[1.0, -1.0], [0.5, 1.0]], [0.0, -1.0]), (2, [[1.0, 2.0]], [0.5])):
        module[layer].weight.data = torch.tensor(weight)
        module[layer].bias.data = torch.tensor(bias)
    return module


def projected(model: Model, x: Tensor, target: Target | int | None = None, show: str = "weights") -> Result:
    return explain(model, batch_of(x, target), name="switched_projection", show=show)


def test_the_closed_form() -> None:
    model, x = model_of(two_layers(), (2,), dtype=torch.float64), torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    found = {show: projected(model, x, 0, show).arrays["attribution"][0].tolist() for show in SHOWN}
    assert found["weights"] == pytest.approx([2, 1])
    assert found["centre"] == pytest.approx([0.6, 0.3])
    assert found["decomposition"] == pytest.approx([2.8, 0.7])
    result = projected(model, x, 0)
    assert result.info[0] == {"activity": pytest.approx(3.5), "bias": pytest.approx(-1.5)}
    assert result.checks[0][0].gap < 1e-12


SHOWN = ("weights", "decomposition", "centre")


def test_a_unit_that_is_switched_off_from_the_input_says_so() -> None:
    model, x = model_of(two_layers(), (2,), dtype=torch.float64), torch.tensor([[0.0, 0.5]], dtype=torch.float64)
    result = projected(model, x, 0, "decomposition")
    assert not result.arrays["attribution"].any()
    assert result.info[0]["bias"] == result.info[0]["activity"] == pytest.approx(0.5)
    assert "no centre" in result.info[0]["note"]


class Pieces(nn.Module):
    """What piecewise linear nets are made of: every kind of constant, branch, pooling and rectifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.conv = nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.grouped, self.up = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.slope, self.fc = nn.PReLU(), nn.Linear(3 * 8 * 8, 5)
        self.norm.running_mean = torch.tensor([0.3])
        self.norm.running_var = torch.tensor([2.0])
        nn.init.constant_(self.norm.bias, 0.7)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu6(self.conv(torch.nn.functional.pad(self.norm(x), (0, 0, 0, 0), value=1.0)) * 5)
        one, two = torch.cat([self.slope(self.grouped(x)), x], 1).chunk(2, 1)
        x = self.up(nn.functional.hardtanh(one - 0.5 * two + 0.2, -1, 1) / 2)
        x = nn.functional.max_pool2d(x, 3, 1, 1) + nn.functional.avg_pool2d(x.abs(), 3, 1, 1)
        x = torch.where(x > 0.1, x, torch.zeros_like(x)).clamp(max=0.8)
        output: Tensor = self.fc(nn.functional.leaky_relu(x, 0.1).flatten(1))
        return 1 - output


@pytest.mark.parametrize("kind", ["net", "pieces"])
def test_it_is_exact_for_units_of_every_layer(kind: str) -> None:
    """The bias is found from the constants of the net, not from v - x . w: so that the two agree says something."""
    model = model_of(net() if kind == "net" else Pieces(), (1, 8, 8), dtype=torch.float64)
    x = inputs(3).double()
    biases = []
    for node in model.folded.nodes[1:]:
        if node.shape is None or not model.folded.reaching(0)[node.index]:
            continue
        layer = model.norm_after(node.layer) or node.layer
        target = UnitTarget(layer=layer, index=tuple(size // 2 for size in node.shape))
        result = projected(model, x, target)
        assert all(check.gap < 1e-9 or abs(check.expected - check.observed) < 1e-12 for (check,) in result.checks)
        biases += [info["bias"] for info in result.info]
    assert sum(abs(bias) > 1e-3 for bias in biases) > len(biases) / 2


def test_the_projection_is_the_net_within_its_region() -> None:
    model, x = model_of(Pieces(), (1, 8, 8), dtype=torch.float64), inputs(1).double()
    result = projected(model, x, 2)
    near = x + 1e-7 * inputs(1, seed=5).double()
    predicted = (near * result.arrays["attribution"]).sum() + result.info[0]["bias"]
    assert float(predicted) == pytest.approx(float(model.forward(near)[0, 2]), abs=1e-13)
    assert float(predicted) != pytest.approx(float(model.forward(x)[0, 2]), abs=1e-9)


def test_decomposition_sums_to_the_activity_and_the_centre_is_a_root() -> None:
    model, x = model_of(net(), (1, 8, 8), dtype=torch.float64), inputs(3).double()
    weights, parts, centre = (projected(model, x, 1, show).arrays["attribution"] for show in SHOWN)
    scores, info = model.forward(x)[:, 1], projected(model, x, 1).info
    torch.testing.assert_close(parts.flatten(1).sum(1), scores)
    at_centre = (centre * weights).flatten(1).sum(1) + torch.tensor([row["bias"] for row in info], dtype=torch.float64)
    assert at_centre.abs().max() < 1e-12
    torch.testing.assert_close(parts, weights * (x - centre))


@pytest.mark.parametrize(
    ("layer", "op"), [(nn.GELU(), "gelu"), (nn.Softmax(1), "softmax"), (nn.LayerNorm(4), "layer_norm")]
)
def test_what_is_not_piecewise_linear_is_refused_by_name(layer: nn.Module, op: str) -> None:
    model = model_of(nn.Sequential(nn.Linear(6, 4), layer, nn.Linear(4, 2)), (6,))
    with pytest.raises(MethodNotApplicable, match=f"{op} at 1 "):
        parse_method("switched_projection").refuse(model)


def test_products_of_two_values_are_refused_and_scaling_is_not() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (2 * x.relu())

    with pytest.raises(MethodNotApplicable, match="mul"):
        parse_method("switched_projection").refuse(model_of(Product(), (4,)))

    class Inverse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1 / x

    with pytest.raises(MethodNotApplicable, match=r"reciprocal|div"):
        parse_method("switched_projection").refuse(model_of(Inverse(), (4,)))
