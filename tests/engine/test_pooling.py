"""Maximum pooling: the winner takes all, or what is pooled shares in proportion."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.engine.functions import Function, random, relevance

POOLS: dict[str, tuple[Function, Function]] = {
    "windows": (lambda x: functional.max_pool2d(x, 2), lambda x: functional.avg_pool2d(x, 2) * 4),
    "overlapping": (
        lambda x: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        lambda x: functional.lp_pool2d(functional.pad(x, (1, 2, 1, 2)), 1, 3, 2),
    ),
    "adaptive": (lambda x: functional.adaptive_max_pool2d(x, 3), lambda x: functional.adaptive_avg_pool2d(x, 3) * 4),
    "whole": (lambda x: x.amax((2, 3)), lambda x: x.sum((2, 3))),
}


@pytest.mark.parametrize("name", POOLS)
def test_maximum_pooling_by_proportion(name: str) -> None:
    """R_j = sum over windows of x_j / (sum of the window) times the window's relevance, its maximum."""
    pool, total = POOLS[name]
    x = random(2, 3, 6, 6).abs()
    found = relevance(pool, x, pooling="proportional")
    z = x.clone().requires_grad_()
    sums = total(z)
    shares = torch.autograd.grad(sums, z, pool(x) / sums.detach())[0]
    torch.testing.assert_close(found, x * shares, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.flatten(1).sum(1), pool(x).flatten(1).sum(1), rtol=1e-4, atol=1e-4)


def test_the_winner_takes_all_by_default() -> None:
    x = random(1, 1, 4, 4).abs()
    found = relevance(lambda x: functional.max_pool2d(x, 2), x)
    assert int((found != 0).sum()) == 4
    torch.testing.assert_close(found[found != 0], functional.max_pool2d(x, 2).flatten(), rtol=1e-4, atol=1e-6)
