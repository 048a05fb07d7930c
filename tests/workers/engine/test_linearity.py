"""Scattering, adding up and other affine calls with constant indices are linear maps for every method (captum#246)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.graph.linearity import is_affine
from workers.engine.model.model import Model
from workers.explanation.errors import MethodNotApplicable
from workers.methods.catalogue import parse_method
from workers.runtime.execute.model_support import check

FROM, TO = torch.tensor([0, 1, 1, 2, 3, 4, 0]), torch.tensor([1, 0, 2, 3, 4, 0, 2])
ADJACENCY = torch.zeros(5, 5).index_put((TO, FROM), torch.ones(7))
Passing = Callable[[Tensor], Tensor]  # messages (n, 5 nodes, 4 features) along the edges


def at(x: Tensor) -> Tensor:
    return TO.view(1, -1, 1).expand_as(x)


def sent(x: Tensor) -> Tensor:
    return x[:, FROM]


def reduced(how: str, self_too: bool = True) -> Passing:
    return lambda x: torch.zeros_like(x).scatter_reduce(1, at(sent(x)), sent(x), how, include_self=self_too)


def rows(x: Tensor) -> Tensor:
    return torch.arange(x.shape[0])[:, None]


SUMS: dict[str, Passing] = {
    "scatter_add": lambda x: torch.zeros_like(x).scatter_add(1, at(sent(x)), sent(x)),
    "scatter_add_": lambda x: torch.zeros_like(x).scatter_add_(1, at(sent(x)), sent(x)),
    "index_add": lambda x: torch.zeros_like(x).index_add(1, TO, sent(x)),
    "index_add_to_itself": lambda x: x.index_add(1, TO, sent(x), alpha=0.5),
    "index_put_accumulated": lambda x: torch.zeros_like(x).index_put((rows(x), TO[None]), sent(x), accumulate=True),
    "index_put": lambda x: torch.zeros_like(x).index_put((rows(x), torch.tensor([[2, 0, 1]])), x[:, :3]),
    "index_copy": lambda x: torch.zeros_like(x).index_copy(1, torch.tensor([3, 1, 2]), x[:, :3]),
    "index_fill": lambda x: x.index_fill(1, torch.tensor([3, 1]), 0.0),
    "scatter": lambda x: torch.zeros_like(x).scatter(1, at(sent(x))[:, :3], x[:, :3]),
    "mean": reduced("mean", self_too=False),
    "sum": reduced("sum"),
    "index_reduce": lambda x: torch.zeros_like(x).index_reduce(1, TO, sent(x), "mean"),
    "segment_means": lambda x: SUMS["index_add"](x) / torch.tensor([2.0, 1.0, 2.0, 1.0, 1.0])[None, :, None],
    "dense": lambda x: ADJACENCY.to(x.dtype) @ x,
    "einsum": lambda x: torch.einsum("ij,bjf->bif", ADJACENCY.to(x.dtype), x),
    "diag_embed": lambda x: torch.diag_embed(x).sum(-1),
    "gather": lambda x: x.gather(1, at(sent(x))),
}  # fmt: skip
AFFINE: dict[str, Passing] = {
    **SUMS,
    "lerp": lambda x: torch.lerp(x, torch.zeros_like(x), 0.3),
    "trapezoid": lambda x: torch.stack([torch.trapezoid(x, dim=1)] * 2, 1),
    "diff": lambda x: x.diff(dim=1),
    "signed": lambda x: (ADJACENCY - 0.5).to(x.dtype) @ x,
}
WINNING: dict[str, Passing] = {
    "amax": reduced("amax"),
    "amin": reduced("amin"),
    "index_amax": lambda x: torch.zeros_like(x).index_reduce(1, TO, sent(x), "amax", include_self=False),
}


class Passes(nn.Module):
    """Messages between two linear layers without biases, once what is passed is rectified and once it is not."""

    def __init__(self, passing: Passing) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.last, self.passing = nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False), passing

    def forward(self, x: Tensor) -> Tensor:
        h = self.passing(self.first(x))
        output: Tensor = self.last(self.passing(torch.relu(h).contiguous()).sum(1) if h.shape[1] == 5 else h.sum(1))
        return output


@cache
def passing_model(name: str) -> Model:
    return model_of(Passes({**AFFINE, **WINNING}[name]), (5, 3), dtype=torch.float64, low=-50.0, high=50.0)


def data() -> Tensor:
    return inputs(3, shape=(5, 3)).double() * 10


@pytest.mark.parametrize("name", [*AFFINE, *WINNING])
@pytest.mark.filterwarnings("ignore:index_reduce")
def test_what_is_handed_back_through_them_is_exact(name: str) -> None:
    """DeepLIFT is complete; without biases LRP-0 is input times gradient; a switched projection is the unit."""
    model, batch = passing_model(name), batch_of(data(), 1)
    lifted = explain(model, batch, name="deep_lift", baseline="constant", value=0.5)
    module = Passes({**AFFINE, **WINNING}[name]).double()
    expected = (module(data()) - module(torch.full_like(data(), 0.5)))[:, 1].detach()
    torch.testing.assert_close(lifted.arrays["attribution"].sum((1, 2)), expected, rtol=1e-9, atol=1e-9)
    relevance = attribution(model, batch, name="lrp", composite="zero")
    plain = attribution(model, batch, name="input_times_gradient")
    torch.testing.assert_close(relevance, plain, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))
    checks = explain(model, batch, name="switched_projection").checks
    assert all(check.gap < 1e-9 for row in checks for check in row)


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.filterwarnings("ignore:index_reduce")
def test_deep_taylor_stays_positive_and_patterns_take_them_for_sums(name: str) -> None:
    model, x = passing_model(name), data()
    parse_method("pattern_fit").refuse(model)
    parse_method("excitation_backprop").refuse(model)
    scores = model.start(batch_of(x))[0]
    found = explain(model, batch_of(x[scores > 0]), name="deep_taylor", bounds="real")
    assert len(found.checks) > 0
    assert all(check.gap < 1e-4 for row in found.checks for check in row if check.name == "non_negative")


CURVED: dict[str, Passing] = {
    "logcumsumexp": lambda x: x.logcumsumexp(1), "prod": reduced("prod", self_too=False), "frac": lambda x: x.frac(),
    "cumprod": lambda x: x.cumprod(1), "renorm": lambda x: x.renorm(2, 0, 1.0),
    "cummax": lambda x: x.cummax(1).values, "hypot": lambda x: torch.hypot(x, x + 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVED)
def test_what_is_no_linear_map_is_still_refused(name: str) -> None:
    model = model_of(Passes(CURVED[name]), (5, 3), dtype=torch.float64)
    for method in ("lrp", "deep_lift", "switched_projection"):
        with pytest.raises(MethodNotApplicable):
            parse_method(method).refuse(model)


KINKED: tuple[Callable[[Tensor], Tensor], ...] = (
    torch.relu, torch.abs, nn.functional.hardshrink, torch.floor, torch.sin, torch.square, torch.tanh, torch.sigmoid,
    lambda x: x.clamp(-1e3, 1e3), lambda x: x.amax(1, keepdim=True), lambda x: x * x, lambda x: x.softmax(1),
)  # fmt: skip


class Kinked(nn.Module):
    """A linear layer, each function of its value, and their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return torch.stack([(function(h) + 0 * h) for function in KINKED]).sum((0, 2))


def test_kinks_and_curves_are_found_at_any_scale() -> None:
    graph = model_of(Kinked(), (5, 3)).folded
    affine = {node.op for node in graph.nodes[1:] if is_affine(node, graph)}
    others = {node.op for node in graph.nodes[1:] if not is_affine(node, graph)}
    assert affine == {"linear", "add", "mul", "stack", "sum"}
    assert others == {
        "relu", "abs", "hardshrink", "floor", "sin", "square", "tanh", "sigmoid", "clamp", "amax", "mul", "softmax",
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:index_reduce")
def test_maxima_by_index_share_by_the_winner_or_not_at_all() -> None:
    sent = parse_method({"name": "lrp", "pooling": "proportional"})
    with pytest.raises(MethodNotApplicable, match=r'scatter_reduce_amax.*; "pooling": "winner_take_all"'):
        check(passing_model("amax"), sent)
