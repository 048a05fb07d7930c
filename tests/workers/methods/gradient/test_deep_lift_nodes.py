"""deep_lift through every kind of node: what has a rule is exact, what has none is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.toys import batch_of, inputs, model_of
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable
from workers.methods.catalogue import parse_method
from workers.methods.gradient.deep_lift.assign import multipliers
from workers.methods.gradient.deep_lift.baseline_pass import contrast

SHAPE = (4, 6)


class Around(nn.Module):
    """A function of (n, 4, 6) in the middle of a net."""

    def __init__(self, middle: Callable[[Tensor], Tensor] | nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = nn.Linear(6, 6), middle, nn.LazyLinear(3)
        self.forward(torch.zeros(2, *SHAPE))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.last(self.middle(self.first(x)).flatten(1))
        return output


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.cell = kind(6, 5, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.cell(x)[0]
        return states


def heads(x: Tensor, masked: bool = False) -> Tensor:
    q, k, v = x, x.roll(1, 2), x.flip(2)
    mask = torch.ones(4, 4, dtype=torch.bool).tril() if masked else None
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


NODES: dict[str, Callable[[], Callable[[Tensor], Tensor] | nn.Module]] = {
    "softmax": lambda: lambda x: x.softmax(2),
    "softmax of another axis": lambda: lambda x: (3 * x).softmax(1),
    "log_softmax": lambda: lambda x: x.log_softmax(-1),
    "logsumexp": lambda: lambda x: torch.cat([x.logsumexp(1), x.logsumexp(2, keepdim=True).flatten(1)], 1),
    "attention": lambda: heads,
    "masked attention": lambda: lambda x: heads(x, masked=True),
    "causal attention": lambda: (
        lambda x: functional.scaled_dot_product_attention(x, 2 * x, x.sin(), is_causal=True, scale=0.7)
    ),
    "transformer": lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, activation="gelu"),
    "layer_norm": lambda: nn.LayerNorm(SHAPE),
    "group_norm": lambda: nn.GroupNorm(2, 4),
    "instance_norm": lambda: nn.InstanceNorm1d(4, affine=True),
    "rms_norm": lambda: nn.RMSNorm(6),
    "product": lambda: lambda x: x * x.sigmoid(),
    "square": lambda: lambda x: x * x + x.square() + x**3,
    "matrix product": lambda: lambda x: x @ x.transpose(1, 2).tanh(),
    "einsum": lambda: lambda x: torch.einsum("nij,nkj->nik", x, x.exp()),
    "quotient": lambda: lambda x: x / (1 + x.abs().sum(1, keepdim=True)),
    "quotient of a constant": lambda: lambda x: 2 / (3 + x.square()),
    "change of sign": lambda: lambda x: (x + 1) / torch.where(torch.ones(6) > 0, x + 0.01, x),
    "variance": lambda: lambda x: (x - x.mean(2, keepdim=True)) * (x.var(2, keepdim=True) + 0.1).rsqrt(),
    "overlapping maximum": lambda: nn.MaxPool1d(3, 1, 1),
    "maximum over an axis": lambda: lambda x: torch.cat([x.amax(1), x.max(1).values, x.min(1).values, -x.amin(1)], 1),
    "maximum of two": lambda: lambda x: torch.maximum(x, x.flip(1).sin()) + torch.minimum(x, 2 * x.flip(2)),
    "adaptive maximum": lambda: nn.AdaptiveMaxPool1d(4),
    "gate of a linear unit": lambda: lambda x: x[..., :3] * x[..., 3:].sigmoid(),
    "LSTM": lambda: Recurrent(nn.LSTM),
    "GRU": lambda: Recurrent(nn.GRU),
    "weight norm": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)), nn.ReLU()),
    "concatenation": lambda: lambda x: functional.gelu(torch.cat([x, x.cumsum(1), functional.pad(x, (1, 1))], 2)),
    "transposed convolution": lambda: nn.Sequential(nn.ConvTranspose1d(4, 3, 3, stride=2), nn.ReLU()),
    "averages": lambda: (
        lambda x: functional.silu(functional.interpolate(functional.avg_pool1d(x, 2), scale_factor=2.0) - x)
    ),
}


@cache
def around(name: str, dtype: torch.dtype = torch.float64) -> Model:
    return model_of(Around(NODES[name]()), SHAPE, dtype)


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
@pytest.mark.parametrize("name", NODES)
def test_the_sum_is_the_difference(name: str, rule: str) -> None:
    model, x = around(name), 2 * inputs(3, shape=SHAPE).double()
    result = explain(model, batch_of(x, 1), name="deep_lift", rule=rule, baseline="constant", value=0.2)
    expected = (model.forward(x) - model.forward(torch.full_like(x, 0.2)))[:, 1]
    torch.testing.assert_close(result.arrays["attribution"].flatten(1).sum(1), expected, rtol=1e-9, atol=1e-11)
    alone = explain(model, batch_of(x[1:2], 1), name="deep_lift", rule=rule, baseline="constant", value=0.2)
    torch.testing.assert_close(alone.arrays["attribution"], result.arrays["attribution"][1:2], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", NODES)
def test_there_and_back_is_nothing(name: str) -> None:
    """Rescale's multipliers belong to the pair: those from x0 to x are those from x to x0."""
    model, ends = around(name), [inputs(2, seed, SHAPE).double() for seed in (1, 2)]
    found = []
    for x, x0 in (ends, reversed(ends)):
        batch = batch_of(x, 1)
        found.append(multipliers(contrast(model, batch, x0), model.start(batch)[1], "rescale"))
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in NODES if name != "change of sign"])
def test_close_to_the_baseline_it_is_the_gradient(name: str) -> None:
    model, x0 = around(name), inputs(2, shape=SHAPE).double()
    batch = batch_of(x0 + 1e-6 * inputs(2, 5, SHAPE).double(), 1)
    found = multipliers(contrast(model, batch, x0), model.start(batch)[1], "rescale")
    gradient = attribution(model, batch, name="gradient")
    torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-5)


def test_overlapping_windows_of_a_pooling_each_give_their_share() -> None:
    """Window by window: a rise to what is the maximum, a fall to what was."""
    torch.manual_seed(0)
    last = nn.Linear(5, 1, bias=False)
    module = nn.Sequential(nn.MaxPool1d(3, 2), nn.Flatten(), last)
    x, x0 = inputs(1, 3, (1, 11)).double(), inputs(1, 4, (1, 11)).double()
    model = model_of(module, (1, 11), torch.float64)
    expected = torch.zeros(11, dtype=torch.float64)
    for k, weight in enumerate(last.weight[0].tolist()):
        now, then = x[0, 0, 2 * k : 2 * k + 3], x0[0, 0, 2 * k : 2 * k + 3]
        rise = float(now.max() - then.max())
        expected[2 * k + int((now if rise > 0 else then).argmax())] += weight * rise
    batch = batch_of(x, 0)
    found = multipliers(contrast(model, batch, x0), model.start(batch)[1], "rescale") * (x - x0)
    torch.testing.assert_close(found[0, 0], expected)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_softmax_stands_any_logits(scale: float) -> None:
    model, x = around("softmax", torch.float32), scale * inputs(3, shape=SHAPE)
    result = explain(model, batch_of(x, 1), name="deep_lift")
    assert torch.isfinite(result.arrays["attribution"]).all()
    assert all(check.gap < 1e-3 for (check,) in result.checks)


def test_a_norm_of_a_constant_baseline_does_not_drown_the_rest() -> None:
    """There the norm divides by the root of its epsilon: taken as a slope that is 1000, cubed after three norms."""
    torch.manual_seed(0)
    steps = [step for _ in range(3) for step in (nn.Linear(6, 6, bias=False), nn.LayerNorm(6), nn.GELU())]
    model, x = model_of(nn.Sequential(*steps, nn.Linear(6, 2)), (6,)), inputs(4, shape=(6,))
    result = explain(model, batch_of(x, 0), name="deep_lift")
    assert result.arrays["attribution"].abs().max() < 100
    assert all(check.gap < 1e-4 for (check,) in result.checks)


@pytest.mark.parametrize(
    ("middle", "named"),
    [
        (lambda x: x.topk(3, 2).values, "topk"),
        (lambda x: x * (x > 0), "mul"),
        (lambda x: torch.where(x > 0, x, 0.1 * x), "where"),
        (lambda x: x.gather(2, x.argsort(2)), "gather"),
        (lambda x: x.abs() ** x, "pow"),
        (lambda x: torch.einsum("nij,nij,nij->nij", x, x, x), "einsum"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(middle: Callable[[Tensor], Tensor], named: str) -> None:
    model = model_of(Around(middle), SHAPE)
    for rule in ("rescale", "reveal_cancel"):
        with pytest.raises(MethodNotApplicable, match=named):
            parse_method({"name": "deep_lift", "rule": rule}).refuse(model)
        with pytest.raises(MethodNotApplicable, match=named):
            explain(model, batch_of(inputs(1, shape=SHAPE), 0), name="deep_lift", rule=rule)
    parse_method({"name": "deep_lift", "rule": "none"}).refuse(model)
