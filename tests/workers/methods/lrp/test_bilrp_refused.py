"""Where inputs meet in no product BiLRP is refused, with advice that works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.several import model_of_inputs, rows_of
from tests.toys import model_of, net
from tests.workers.methods.lrp.towers import FIVE, Head, asked, doubles, model_of_towers, product, towers_rows
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import ExplainError, InvalidParameter, MethodNotApplicable
from workers.explanation.request_target import parse_targets
from workers.explanation.target import ValueTarget
from workers.methods.method import parse_method
from workers.runtime.execute.model_support import check

NONE: dict[str, Head] = {
    "joined": lambda a, b: torch.cat([a, b], 1).sum(1),
    "rectified": lambda a, b: torch.relu(a - b).sum(1),
    "distance": lambda a, b: -(a - b).norm(dim=1),
    "cubed": lambda a, b: product(a, b) ** 3,
    "one alone": lambda a, b: a.sum(1),
}


@pytest.mark.parametrize("name", list(NONE))
def test_what_is_no_product_is_refused_with_what_works(name: str) -> None:
    _, model = model_of_towers(NONE[name])
    with pytest.raises(MethodNotApplicable, match=r"alone|is no product of") as refused:
        check(model, parse_method("bilrp"), ValueTarget())
    assert_advice_works(model, refused.value)


@pytest.mark.parametrize("squash", [torch.sigmoid, lambda d: torch.exp(d / 9), lambda d: d**3])
def test_behind_a_squashed_product_the_product_is_advised(squash: Callable[[Tensor], Tensor]) -> None:
    _, model = model_of_towers(lambda a, b: squash(product(a, b)))
    with pytest.raises(MethodNotApplicable, match="is no product of") as refused:
        check(model, parse_method("bilrp"), ValueTarget())
    aims = [one["target"] for one in refused.value.alternatives if "target" in one]
    assert aims
    target = parse_targets(aims[0], model.card)[0]
    (row,) = asked(model, towers_rows(1), target, composite="zero")
    assert row.checks[0].gap < 1e-9
    assert_advice_works(model, refused.value)


def assert_advice_works(model: Model, error: ExplainError) -> None:
    assert error.alternatives
    for one in error.alternatives:
        target = parse_targets(one["target"], model.card)[0] if "target" in one else ValueTarget()
        check(model, parse_method(one.get("method", "bilrp")), target)


def test_one_input_and_three_are_refused() -> None:
    with pytest.raises(MethodNotApplicable, match="this model takes one"):
        check(model_of(net(), (1, 8, 8)), parse_method("bilrp"))

    class Three(nn.Module):
        def forward(self, one: Tensor, two: Tensor, three: Tensor) -> Tensor:
            return (one * two).sum(1) + three.sum(1)

    specs = dict.fromkeys(("one", "two", "three"), FIVE)
    model = model_of_inputs(Three(), specs, doubles(rows_of(specs)), output="value")
    with pytest.raises(MethodNotApplicable, match="takes 3: one, two, three") as refused:
        check(model, parse_method("bilrp"), ValueTarget())
    assert_advice_works(model, refused.value)


class Joined(nn.Module):
    """One pass of an encoder over both inputs, laid one behind the other."""

    def __init__(self, join: Callable[[list[Tensor]], Tensor], apart: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.join, self.apart = nn.Linear(5, 4), join, apart

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        first, second = self.apart(torch.relu(self.encoder(self.join([one, other]))))
        return (first * second).sum(1)


@pytest.mark.parametrize(
    ("op", "join", "apart"),
    [
        ("cat", torch.cat, lambda both: both.view(2, -1, 4).unbind()),
        ("stack", torch.stack, lambda both: both.unbind()),
    ],
)
def test_inputs_joined_along_the_batch_are_told_where_and_what_to_do(op: str, join: Any, apart: Any) -> None:
    specs = dict.fromkeys(("one", "other"), FIVE)
    rows = doubles(rows_of(specs))
    model = model_of_inputs(Joined(join, apart), specs, rows, output="value")
    with pytest.raises(MethodNotApplicable, match=rf"\({op}\) lays one and other one behind the other") as refused:
        check(model, parse_method("bilrp"), ValueTarget())
    assert "encoder(one) * encoder(other)" in refused.value.detail
    assert_advice_works(model, refused.value)


def test_too_many_pairs_are_refused_with_a_patch_that_fits() -> None:
    specs = dict.fromkeys(("left", "right"), InputSpec(shape=(1, 40, 40)))
    net_of_pixels = Pixels()
    model = model_of_inputs(net_of_pixels, specs, doubles(rows_of(specs)), output="value")
    check(model, parse_method("bilrp"), ValueTarget())
    with pytest.raises(InvalidParameter, match="1600 pieces of left") as refused:
        check(model, parse_method({"name": "bilrp", "patch": 1}), ValueTarget())
    assert {"method": {"name": "bilrp", "patch": 2}} in refused.value.alternatives


class Pixels(nn.Module):
    """Pictures as their own embeddings."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (left.flatten(1) * right.flatten(1)).sum(1)
