"""simple_taylor and deep_taylor: roots, the sums that theory promises, and where they are refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from tests.references import needs_references, photographs, prepared, reference_model
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, InvalidTarget
from workers.explanation.target import ClassTarget, UnitTarget
from workers.methods.catalogue import parse_method

POSITIVE = [{"rule": "alpha_beta", "alpha": 1, "epsilon": 0}]


def chain(bias: bool = True) -> nn.Sequential:
    """Convolutions, pooling and dense layers, one after the other."""
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, bias=bias), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6, 8, bias=bias), nn.ReLU(), nn.Linear(8, 3, bias=bias),
    ).eval()  # fmt: skip


def positive(model: Model, x: Tensor) -> Batch:
    """Rows with the class of their highest score, which is positive."""
    scores = model.forward(x)
    keep = scores.amax(1) > 0
    assert keep.any()
    return batch_of(x[keep])


def test_inside_deep_taylor_is_alpha1_beta0() -> None:
    """S3 eq. 13, on a net where no signed values are summed."""
    model, x = model_of(chain(), (1, 8, 8), dtype=torch.float64), inputs(4).double().abs()
    batch = positive(model, x)
    found = attribution(model, batch, name="deep_taylor", bounds="positive")
    torch.testing.assert_close(found, attribution(model, batch, name="lrp", composite=POSITIVE), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("bounds", "first"),
    [
        ("card", {"rule": "z_box", "low": -3, "high": 3}),
        ([-4, 5], {"rule": "z_box", "low": -4, "high": 5}),
        ("real", {"rule": "w_square", "epsilon": 0}),
    ],
)
def test_the_bounds_set_the_first_layers_rule(bounds: object, first: dict[str, object]) -> None:
    model = model_of(chain(), (1, 8, 8), dtype=torch.float64, low=-3.0, high=3.0)
    batch = positive(model, inputs(4).double())
    table = [{"where": "first", **first}, *POSITIVE]
    found = attribution(model, batch, name="deep_taylor", bounds=bounds)
    torch.testing.assert_close(found, attribution(model, batch, name="lrp", composite=table), rtol=1e-5, atol=1e-8)


def test_a_neurons_relevance_is_its_expansion_where_it_would_just_be_silent() -> None:
    """The root lies down the inputs with positive weights: a~ = a - t a 1[w > 0], with w a~ = 0 (S4 10.2.3)."""
    linear = nn.Linear(5, 1, bias=False)
    linear.weight.data = torch.tensor([[0.8, -0.3, 1.0, 0.2, -0.1]])
    a, w = torch.tensor([1.0, 2.0, 0.5, 0.3, 1.0]).double(), linear.weight.detach().double()[0]
    share = float(w @ a / (w.clamp(min=0) @ a))
    root = a - share * a * (w > 0)
    assert float(w @ root) == pytest.approx(0, abs=1e-7)
    model = model_of(linear, (5,), dtype=torch.float64)
    found = attribution(model, batch_of(a[None], 0), name="deep_taylor", bounds="positive")
    torch.testing.assert_close(found[0], w * (a - root), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bounds", ["card", "real"])
@pytest.mark.parametrize("norm", [False, True])
def test_it_is_nowhere_negative_for_a_positive_score_even_where_signed_values_are_summed(
    bounds: str, norm: bool
) -> None:
    """A Net adds a convolution's output, of either sign, to its input; alpha1_beta0 goes negative there."""
    model = model_of(net(norm=norm), (1, 8, 8), dtype=torch.float64, low=-5.0, high=5.0)
    batch = positive(model, inputs(6).double())
    result = explain(model, batch, name="deep_taylor", bounds=bounds)
    assert (result.arrays["attribution"] >= 0).all()
    assert all(lowest.gap == 0 and whole.observed > 0 for whole, lowest in result.checks)
    table = [{"where": "first", "rule": "w_square"}, *POSITIVE]
    assert (attribution(model, batch, name="lrp", composite=table) < 0).any()


@pytest.mark.parametrize("name", ["deep_taylor", "excitation_backprop"])
@pytest.mark.parametrize("size", [1.0, 1e-7])
def test_no_stabiliser_takes_anything_of_small_values(name: str, size: float) -> None:
    """Averages, sums of what is not negative, and weights; in float64 all of it arrives."""
    model = model_of(chain(bias=False), (1, 8, 8), dtype=torch.float64)
    batch = positive(model, inputs(6).double().abs() * size)
    fields: dict[str, object] = {"bounds": "positive"} if name == "deep_taylor" else {}
    result = explain(model, batch, name=name, **fields)
    assert all(checks[0].gap < 1e-9 for checks in result.checks)


def test_without_biases_the_score_is_conserved() -> None:
    model = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64, low=-5.0, high=5.0)
    result = explain(model, positive(model, inputs(6).double()), name="deep_taylor")
    assert all(whole.gap < 1e-3 for whole, _ in result.checks)
    assert [entry["layer"] for entry in result.info[0]["layers"]] == ["fc", "conv2", "conv1"]


class Sums(nn.Module):
    """Everything that adds without weights: a sum, a difference, an average, and a normalisation of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.norm.running_mean, self.norm.running_var = torch.tensor([1.0, -1.0]), torch.tensor([1.0, 4.0])
        self.norm.eps = 0

    def forward(self, x: Tensor) -> Tensor:
        pairs = x.view(-1, 2, 2)
        added = pairs[:, 0] + pairs[:, 1]
        less = pairs[:, 0] - 2 * pairs[:, 1]
        normed = self.norm(torch.relu(pairs[:, 1]))
        return torch.cat([added, less, x.mean(1, keepdim=True), normed], 1)


@pytest.mark.parametrize(
    ("target", "x", "score", "expected"),
    [
        (0, (3, 0, 1, 0), 4, (3, 0, 1, 0)),
        (0, (3, 0, -1, 0), 2, (2, 0, 0, 0)),
        (2, (3, 0, 1, 0), 1, (1, 0, 0, 0)),
        (2, (3, 0, -1, 0), 5, (3, 0, 2, 0)),
        (4, (3, -2, 2, 1), 1, (0.5, 0, 1 / 3, 1 / 6)),
        (5, (0, 0, 4, 0), 3, (0, 0, 3, 0)),
        (6, (0, 0, 0, 3), 2, (0, 0, 0, 2 * 1.5 / 2)),
    ],
)
def test_sums_share_by_what_adds(target: int, x: tuple[float, ...], score: float, expected: tuple[float, ...]) -> None:
    model = model_of(Sums(), (4,), dtype=torch.float64)
    batch = batch_of(torch.tensor([x], dtype=torch.float64), target)
    assert float(model.start(batch)[0]) == pytest.approx(score)
    found = attribution(model, batch, name="deep_taylor", bounds="positive")
    assert found[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_a_negative_score_is_refused() -> None:
    """S4 Fig. 22.5; in a batch the good rows are refused with it, and the worker then runs the halves."""
    model, x = model_of(chain(), (1, 8, 8), low=-5.0, high=5.0), inputs(4)
    scores = model.forward(x)
    lowest, highest = int(scores[0].argmin()), int(scores[0].argmax())
    assert scores[0, lowest] < 0 < scores[0, highest]
    with pytest.raises(InvalidTarget, match="positive score"):
        attribution(model, batch_of(x[:1], lowest), name="deep_taylor")
    both = Batch(x[[0, 0]], [ClassTarget(index=highest), ClassTarget(index=lowest)])
    with pytest.raises(InvalidTarget):
        attribution(model, both, name="deep_taylor")
    assert attribution(model, batch_of(x[:1], highest), name="deep_taylor").any()


def test_a_channel_with_negative_values_is_refused_even_where_its_sum_is_positive() -> None:
    model, x = model_of(chain(), (1, 8, 8), low=-5.0, high=5.0), inputs(1)
    sums = model.graph.run(x, [1])[1][1].sum((2, 3))[0]
    target = UnitTarget(layer="0", channel=int(sums.argmax()))
    assert sums.max() > 0
    with pytest.raises(InvalidTarget, match="positive score"):
        attribution(model, batch_of(x, target), name="deep_taylor")


def test_bounds_are_in_order_and_known() -> None:
    with pytest.raises(ValueError, match="low bound"):
        parse_method({"name": "deep_taylor", "bounds": [1, 1]})
    with pytest.raises(InvalidParameter, match="bounds"):
        parse_method("deep_taylor").refuse(model_of(net(), (1, 8, 8)))


@pytest.mark.slow
@needs_references
def test_on_squeezenet_deep_taylor_is_non_negative_and_simple_taylor_finds_roots() -> None:
    """Its outputs are rectified: at the root hardly a unit speaks any more, its gradient shares next to nothing of the
    score, and the check says so."""
    model = reference_model("squeezenet1_1")
    batch = batch_of(prepared(model, photographs()[:2]))
    deep = explain(model, batch, name="deep_taylor")
    assert all(lowest.gap < 1e-6 * whole.expected for whole, lowest in deep.checks)
    found = 0
    for one in torch.split(prepared(model, photographs()[:4]), 1):
        with suppress(InvalidTarget):  # it goes where the gradients lead, and says when that is nowhere
            ((whole, root),) = explain(model, batch_of(one), name="simple_taylor", root="nearest").checks
            found += 1
            assert 0 <= root.observed < 1e-4 * whole.expected
            assert whole.gap > 0.9
    assert found
