"""Maximum pooling: the winner takes all, or what is pooled shares in proportion."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.toys import batch_of, model_of
from tests.workers.engine.functions import Call, Function, random, relevance
from tests.workers.methods.gradient.gradient_runs import attribution, explain

POOLS: dict[str, tuple[Function, Function]] = {
    "windows": (lambda x: functional.max_pool2d(x, 2), lambda x: functional.avg_pool2d(x, 2) * 4),
    "overlapping": (
        lambda x: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        lambda x: functional.lp_pool2d(functional.pad(x, (1, 2, 1, 2)), 1, 3, 2),
    ),
    "adaptive": (lambda x: functional.adaptive_max_pool2d(x, 3), lambda x: functional.adaptive_avg_pool2d(x, 3) * 4),
    "whole": (lambda x: x.amax((2, 3)), lambda x: x.sum((2, 3))),
    "dilated": (
        lambda x: functional.max_pool2d(x, (2, 3), (1, 2), 1, (3, 2)),
        lambda x: functional.unfold(x, (2, 3), (3, 2), 1, (1, 2)).view(len(x), 3, 6, -1).sum(2).view(len(x), 3, 5, 2),
    ),
    "one axis": (
        lambda x: functional.max_pool1d(x.flatten(2), 4, 3, 2, 2),
        lambda x: (
            functional.unfold(x.flatten(2)[:, :, None], (1, 4), (1, 2), (0, 2), (1, 3)).view(len(x), 3, 4, -1).sum(2)
        ),
    ),
    "three axes": (
        lambda x: functional.max_pool3d(x.view(-1, 3, 6, 3, 2), (2, 2, 1), (2, 1, 2), (1, 0, 0)),
        lambda x: functional.avg_pool3d(x.view(-1, 3, 6, 3, 2), (2, 2, 1), (2, 1, 2), (1, 0, 0)) * 4,
    ),
    "adaptive, one axis": (
        lambda x: functional.adaptive_max_pool1d(x.flatten(2), 5),
        lambda x: functional.adaptive_avg_pool1d(x.flatten(2), 5) * 8,
    ),
    "adaptive, three axes": (
        lambda x: functional.adaptive_max_pool3d(x.view(-1, 3, 6, 3, 2), (2, 1, 2)),
        lambda x: functional.adaptive_avg_pool3d(x.view(-1, 3, 6, 3, 2), (2, 1, 2)) * 9,
    ),
    "along one axis": (lambda x: x.max(2).values, lambda x: x.sum(2)),
    "the larger of two": (lambda x: torch.maximum(x[:, 1:], x[:, :-1]), lambda x: x[:, 1:] + x[:, :-1]),
}


@pytest.mark.parametrize("name", POOLS)
def test_maximum_pooling_by_proportion(name: str) -> None:
    """R_j = sum over windows of x_j / (sum of the window) times the window's relevance, its maximum."""
    pool, total = POOLS[name]
    module = Call(lambda x: pool(x).flatten(1).sum(1, keepdim=True))
    model = model_of(module, (3, 6, 6), dtype=torch.float64)
    for x in (random(2, 3, 6, 6).abs(), random(2, 3, 6, 6)):
        batch = batch_of(x, 0)
        found = explain(model, batch, name="lrp", composite="zero", pooling="proportional")
        z = x.clone().requires_grad_()
        sums = total(z)
        shares = torch.autograd.grad(sums, z, pool(x) / sums.detach())[0]
        torch.testing.assert_close(found.arrays["attribution"], x * shares, rtol=1e-6, atol=1e-9)
        assert all(check.gap < 1e-6 for (check,) in found.checks)


@pytest.mark.parametrize("name", ["lrp", "deep_taylor"])
def test_a_pool_of_one_and_three(name: str) -> None:
    """S4 l.5319, l.4565: R = 3 is shared as (.75, 2.25); all to the maximum where the winner takes all."""
    model = model_of(nn.Sequential(nn.MaxPool1d(2), nn.Flatten()), (1, 2), dtype=torch.float64, low=0.0, high=9.0)
    batch = batch_of(torch.tensor([[[1.0, 3.0]]], dtype=torch.float64), 0)
    fields = {"composite": "zero"} if name == "lrp" else {}
    shared = attribution(model, batch, name=name, pooling="proportional", **fields)
    assert shared.flatten().tolist() == pytest.approx([0.75, 2.25], abs=1e-12)
    assert attribution(model, batch, name=name, **fields).flatten().tolist() == [0.0, 3.0]


def test_deep_taylor_shares_a_pool_among_its_positive_values() -> None:
    torch.manual_seed(3)
    layers = nn.Conv1d(1, 2, 1), nn.MaxPool1d(3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    model = model_of(nn.Sequential(*layers), (1, 6), dtype=torch.float64, low=-3.0, high=3.0)
    x = random(4, 1, 6).clamp(-3, 3)
    batch = batch_of(x[model.forward(x).amax(1) > 0])
    result = explain(model, batch, name="deep_taylor", pooling="proportional")
    assert len(batch) > 1
    for whole, lowest in result.checks:
        assert lowest.observed == 0
        assert whole.observed > 0


def test_what_takes_no_maximum_of_several_is_left_as_it_is() -> None:
    """Sorting, the k highest and minima: with proportional pooling they are neither refused nor changed."""
    for function in (lambda x: x.sort(1).values, lambda x: x.topk(2, 1).values, lambda x: x.amin(1, keepdim=True)):
        x = random(2, 4)
        found = relevance(function, x, pooling="proportional")
        torch.testing.assert_close(found, relevance(function, x))


def test_the_winner_takes_all_by_default() -> None:
    x = random(1, 1, 4, 4).abs()
    found = relevance(lambda x: functional.max_pool2d(x, 2), x)
    assert int((found != 0).sum()) == 4
    torch.testing.assert_close(found[found != 0], functional.max_pool2d(x, 2).flatten(), rtol=1e-4, atol=1e-6)
