"""Ranks, orders and correlations of what rounding has touched: what cannot be told apart is not told apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from tests.toys import batch_of, model_of, net
from workers.engine.model.function import Function
from workers.engine.model.model import Model
from workers.engine.perturbation.contents import contents, sums
from workers.methods.method import parse_method
from workers.methods.nested.ranks import correlation, correlation_matrix, places, ranks, unit_ranks

EPS = float(np.finfo(np.float32).eps)
Keys: TypeAlias = Callable[[Tensor], Sequence[Hashable]]
OF = ["occlusion", {"name": "shapley_sampling", "samples": 4, "count": 16}]


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def test_values_that_differ_by_more_than_rounding_are_ranked_as_ever() -> None:
    values = torch.randint(-9, 9, (3, 2, 50), generator=torch.Generator().manual_seed(0)) / 7
    np.testing.assert_array_equal(ranks(values), rankdata(values.numpy(), axis=-1))
    np.testing.assert_array_equal(places(values, descending=True)[0, 0].argsort(), (-values[0, 0]).argsort(stable=True))


def test_what_rounding_alone_tells_apart_shares_its_rank() -> None:
    true = torch.tensor([0.0] * 40 + [1.0, -3.0] + [0.5] * 8, dtype=torch.float64)
    touched = true + 3.0 * EPS * noise(50)
    np.testing.assert_array_equal(ranks(touched), ranks(true))
    np.testing.assert_array_equal(unit_ranks(touched[None]), unit_ranks(true[None]))
    np.testing.assert_array_equal(places(touched, descending=False), places(true, descending=False))


def test_of_many_values_close_together_each_shares_with_its_neighbours_alone() -> None:
    """A chain of ties would make one of them all."""
    values = torch.linspace(0, 1, 10**6, dtype=torch.float64)
    off = (ranks(values) - torch.arange(1, 10**6 + 1)).abs()
    assert float(off.max()) <= 2
    assert len(torch.unique(ranks(values))) > 0.99 * 10**6


@pytest.mark.parametrize("value", [0.1, -1e4, 1e-12])
def test_a_constant_that_rounding_has_touched_goes_with_nothing(value: float) -> None:
    one = value * (1 + EPS * noise(784))
    assert float(correlation(one, noise(784))) == 0
    assert correlation_matrix(torch.stack([one, noise(784)]))[0].tolist() == [0, 0]
    assert correlation_matrix(torch.stack([noise(784), -noise(784)])).tolist() == [
        [pytest.approx(1), pytest.approx(-1)], [pytest.approx(-1), pytest.approx(1)],
    ]  # fmt: skip


def test_what_is_no_number_has_no_rank() -> None:
    assert ranks(torch.tensor([1.0, float("nan"), 2.0])).isnan().all()


class Rounded(Function):
    """A model whose every output is off by its last digits: as rows that share a pass differ from rows that do not."""

    def __init__(self, model: Model, seed: int) -> None:
        super().__init__(model.card, model.device, model.dtype, model.chunk)
        self._model, self._source = model, torch.Generator().manual_seed(seed)
        self.rows_run = 0

    def run(self, x: Tensor) -> Tensor:
        self.rows_run += len(x)
        outputs = self._model.run(x)
        size = outputs.abs().amax(1, keepdim=True)
        return outputs + EPS * size * (2 * torch.rand(outputs.shape, generator=self._source) - 1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("consensus", {}), ("compare", {}), ("selectivity", {}), ("pixel_flipping", {"steps": 8, "fill": "mean"}),
        ("pixel_flipping", {"steps": 8, "fill": "mean", "order": "lerf"}), ("pointing_game", {}),
        ("sensitivity_n", {"subsets": 4, "sizes": [1, 2, 30]}),
    ],
)  # fmt: skip
def test_nothing_that_ranks_hangs_on_rounding(name: str, parameters: dict[str, Any]) -> None:
    """A digit on black: where nothing is hidden nothing is lost, and ranks would be those of rounding errors."""
    model, x = model_of(net(), (1, 8, 8)), torch.zeros(1, 1, 8, 8)
    x[..., 3:5, 3:5] = torch.tensor([[1.0, -0.5], [2.0, 0.75]])
    method = parse_method({"name": name, "of": OF, **parameters})
    found = [method.explain(Rounded(model, seed), batch_of(x, 1, seeds=[3])).rows()[0].arrays for seed in range(4)]
    for other in found[1:]:
        for key, array in found[0].items():
            np.testing.assert_allclose(other[key], array, rtol=3e-5, atol=3e-5 * np.abs(array).max(), err_msg=key)


def test_a_copy_that_changes_nothing_is_not_asked_and_costs_exactly_nothing() -> None:
    model = Rounded(model_of(net(), (1, 8, 8)), 0)
    x = torch.zeros(2, 1, 8, 8)
    x[0, 0, 3, 3] = 1.0
    found = parse_method({"name": "occlusion", "patch": 1}).explain(model, batch_of(x, 1)).arrays["attribution"]
    assert found.count_nonzero() == 1
    assert model.rows_run == 3  # each input, and the one that is not the same without a place


@pytest.mark.parametrize("keys", [contents, lambda x: sums(x.flatten(1).view(torch.int32))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_have_equal_keys_where_every_bit_is_equal(keys: Keys, dtype: Any) -> None:
    x = torch.randn(1, 3, 7, generator=torch.Generator().manual_seed(0), dtype=dtype).repeat(60, 1, 1)
    for row in range(1, 20):
        x[row, row % 3, row % 7] *= -1
        x[row, (row + 1) % 3, (row + 2) % 7] *= -1  # two signs: sums of products with odd numbers would not tell
        x[20 + row, 0, 0] += row * 2.0**-20
    x[40:] = x[:20]
    found = keys(x)
    assert len(set(found[:40])) == 39  # the 20th is as the first
    assert found[40:] == found[:20]
    assert len(set(contents(torch.ones(4, 3, dtype=torch.bfloat16)))) == 1
