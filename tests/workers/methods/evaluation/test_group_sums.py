"""Sums of groups of features: atoms and their fingerprints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.toys import batch_of, model_of
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidParameter
from workers.explanation.result import Row
from workers.explanation.target import ValueTarget
from workers.methods.catalogue import parse_method

W = torch.tensor([[1.0, -2.0, 0.5, 4.0]])
NAMES = ("ring", "methyl", "hydroxyl", "amine")
ATOMS = [
    {"name": "C1", "features": ["ring", "methyl"]},
    {"name": "O2", "features": [2, "ring", 2]},
    {"name": "C3", "features": [0]},
]


def linear() -> Model:
    net = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(W)
    spec = InputSpec(kind="tensor", shape=(4,), axes=("feature",), names=NAMES)
    return model_of(nn.Sequential(net, nn.Flatten(0)), (4,), input=spec, output="value", dtype=torch.float64)


def found(x: torch.Tensor, **fields: Any) -> list[Row]:
    method, model = parse_method({"name": "group_sums", **fields}), linear()
    method.refuse(model)
    return method.explain(model, batch_of(x, ValueTarget())).rows()


def test_an_atom_has_the_sum_of_the_fingerprints_that_it_is_part_of() -> None:
    """Of a linear model w_i x_i summed over each group; divided, what several share is shared and the whole kept."""
    x = torch.tensor([[2.0, 1.0, 3.0, 0.5]], dtype=torch.float64)
    r = (W[0].double() * x[0]).numpy()
    (whole,), (divided,) = (found(x, groups=ATOMS, shared=shared) for shared in ("whole", "divided"))
    np.testing.assert_allclose(whole.arrays["scores"], [r[0] + r[1], r[2] + r[0], r[0]], rtol=1e-6)
    np.testing.assert_allclose(divided.arrays["scores"], [r[0] / 3 + r[1], r[2] + r[0] / 3, r[0] / 3], rtol=1e-6)
    assert whole.info["groups"] == [{"group": "C1"}, {"group": "O2"}, {"group": "C3"}]
    assert whole.info["total"] == pytest.approx(r.sum())
    assert whole.info["ungrouped"] == pytest.approx(r[3])
    assert not whole.checks
    assert divided.checks[0].expected == pytest.approx(r.sum())
    assert divided.checks[0].gap < 1e-9


def test_without_groups_there_is_one_of_all() -> None:
    x = torch.tensor([[2.0, 1.0, 3.0, 0.5], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    rows = found(x)
    np.testing.assert_allclose([row.arrays["scores"][0] for row in rows], (x @ W[0].double()).numpy(), rtol=1e-6)
    assert rows[0].info["ungrouped"] == 0


def test_a_neighbour_shares_what_it_has_no_part_in() -> None:
    """Only the ring counts; the atom beside it is part of the ring's fingerprint and gets as much."""
    x = torch.tensor([[2.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    (row,) = found(x, groups=ATOMS[:2])
    assert row.arrays["scores"][0] == row.arrays["scores"][1] == 2.0


@pytest.mark.parametrize(
    ("features", "why"),
    [
        (["rang"], "did you mean ring"),
        ([4], "no feature 4; the attribution has 4"),
        ([[0, 1]], r"no feature \[0, 1\]; the attribution has 4"),
    ],
)
def test_a_feature_that_there_is_not_is_named(features: list[Any], why: str) -> None:
    with pytest.raises(InvalidParameter, match=why) as error:
        found(torch.zeros(1, 4, dtype=torch.float64), groups=[ATOMS[0], {"name": "x", "features": features}])
    assert error.value.pointer == "/method/groups/1/features"


def test_features_of_every_step_are_one_group() -> None:
    """captum#799: of a sequence a product's dimensions are features 0 to 2 at each of its steps."""

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.fc = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.fc(self.lstm(x)[0][:, -1])
            return output

    torch.manual_seed(0)
    model = model_of(Steps(), (3, 5), dtype=torch.float64)
    x = torch.randn(1, 3, 5, dtype=torch.float64)
    groups = [
        {"name": "dimensions", "features": [[None, 0], [None, 1], [None, 2]]},
        {"name": "price", "features": [[None, 3], [None, 4]]},
        {"name": "last", "features": [[2]]},
    ]
    batch = batch_of(x, 1)
    (row,) = parse_method({"name": "group_sums", "groups": groups}).explain(model, batch).rows()
    r = parse_method("integrated_gradients").explain(model, batch_of(x, 1)).arrays["attribution"][0]
    expected = [float(r[:, :3].sum()), float(r[:, 3:].sum()), float(r[2].sum())]
    np.testing.assert_allclose(row.arrays["scores"], expected, rtol=1e-5)


def test_a_group_may_cancel() -> None:
    """explainerdashboard#293: sizes summed say more than there is; what is for and against is set off here."""
    x = torch.tensor([[2.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    (row,) = found(x, groups=[{"name": "both", "features": ["ring", "methyl"]}])
    assert row.arrays["scores"][0] == pytest.approx(0)


def test_names_are_of_models_that_have_some() -> None:
    model = model_of(nn.Linear(4, 2), (4,))
    with pytest.raises(InvalidParameter, match="the card names none; features are counted from 0"):
        parse_method({"name": "group_sums", "groups": ATOMS}).refuse(model)
