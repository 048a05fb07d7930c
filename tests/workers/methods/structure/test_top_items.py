"""Top items of a unit and its associations: argsort and rank tests over planted data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from tests.resources import in_memory, no_input
from tests.toys import model_of
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, InvalidTarget
from workers.explanation.target import ClassTarget, RankTarget, Target, UnitTarget
from workers.methods.catalogue import parse_method
from workers.methods.structure.top_items.compute import Best


class Spots(nn.Module):
    """A bright spot of three by three, then the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.fc = nn.Linear(2 * 36, 2)
        with torch.no_grad():
            self.conv.weight[0] = 1
            self.conv.weight[1] = -1

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.conv(x).relu().flatten(1))
        return output


def data() -> Tensor:
    """Twelve images with a spot each, the brightest in item 7, then 3, at places that are known."""
    x = torch.zeros(12, 1, 8, 8)
    for i in range(12):
        x[i, 0, i % 6, (2 * i) % 6] = 0.1 * (i + 1) % 0.7
    x[7, 0, 4, 2], x[3, 0, 1, 6] = 5.0, 4.0
    return x


def top(model: Model, target: Target, **fields: object) -> dict[str, np.ndarray]:
    batch = no_input(model, in_memory(data()))
    batch.targets = [target]
    return dict(parse_method({"name": "top_items", **fields}).explain(model, batch).rows()[0].arrays)


def test_it_is_argsort_of_the_unit_over_the_dataset() -> None:
    torch.manual_seed(0)
    model = model_of(Spots(), (1, 8, 8))
    for target, values in (
        (ClassTarget(index=1), model.forward(data())[:, 1]),
        (UnitTarget(layer="conv", channel=0), nn.functional.conv2d(data(), torch.ones(1, 1, 3, 3)).flatten(1).amax(1)),
        (UnitTarget(layer="conv", index=(1, 2, 3)), nn.functional.conv2d(data(), -torch.ones(1, 1, 3, 3))[:, 0, 2, 3]),
    ):
        for lowest in (False, True):
            if lowest and isinstance(target, UnitTarget) and target.index is None:
                continue
            found = top(model, target, count=4, lowest=lowest)
            order = values.argsort(descending=not lowest, stable=True)[:4]
            np.testing.assert_array_equal(found["items"], order)
            np.testing.assert_allclose(found["scores"], values[order].detach(), rtol=1e-5, atol=1e-6)


def test_what_the_unit_does_not_see_is_faded() -> None:
    model = model_of(Spots(), (1, 8, 8))
    found = top(model, UnitTarget(layer="conv", channel=0), count=2)
    assert found["items"].tolist() == [7, 3]
    for at, (spot, patch) in enumerate(zip([(4, 2), (1, 6)], found["patches"], strict=True)):
        assert all(last - first == 2 for first, last in patch)
        assert all(first <= place <= last for place, (first, last) in zip(spot, patch, strict=True))
        rows, columns = (slice(first, last + 1) for first, last in patch)
        item = data()[found["items"][at], 0]
        np.testing.assert_array_equal(found["synthesis"][at, 0][rows, columns], item[rows, columns])
        outside = np.ones((8, 8), bool)
        outside[rows, columns] = False
        spread = float(np.abs(found["synthesis"][at, 0][outside] - float(item.mean())).max())
        assert spread <= 0.21 * float((item - item.mean()).abs().max())
    whole = top(model, UnitTarget(layer="conv", channel=0), count=2, whole=True)
    np.testing.assert_array_equal(whole["synthesis"], data()[[7, 3]])


def test_of_equals_but_for_rounding_the_first_items_and_the_first_place_are_taken() -> None:
    """Whatever the passes that they are in: an item's last bits hang on its company."""
    best = Best(3)
    for first in (0, 2, 4):
        values = 1 + torch.tensor([0.0, 1e-7]).double() + 1e-8 * first
        best.add(torch.zeros(2, 1), torch.arange(first, first + 2), values, torch.zeros(2, 0))
    assert best.kept["numbers"].tolist() == [0, 1, 2]
    torch.manual_seed(0)
    x = torch.zeros(2, 1, 8, 8)
    x[:, 0, 1, 1], x[:, 0, 6, 6] = 1.0, 1.0000002
    found = parse_method({"name": "top_items"})
    batch = no_input(model_of(Spots(), (1, 8, 8)), in_memory(x))
    batch.targets = [UnitTarget(layer="conv", channel=0)]
    row = found.explain(model_of(Spots(), (1, 8, 8)), batch).rows()[0]
    assert row.arrays["items"].tolist() == [0, 1]
    assert (row.arrays["patches"][:, :, 0] == 0).all()


def test_a_rank_is_no_unit() -> None:
    model = model_of(Spots(), (1, 8, 8)).towards(RankTarget(rank=0))
    with pytest.raises(InvalidTarget, match="rank"):
        parse_method("top_items").refuse(model)


def test_a_planted_unit_goes_with_its_concept_and_no_other() -> None:
    """= scipy's test of each unit and label, times the number of tests; a unit without values passes none."""
    torch.manual_seed(0)
    model = model_of(Spots(), (1, 8, 8))
    x, labels = 0.3 * torch.randn(60, 1, 8, 8), np.arange(60) % 3
    x[labels == 1, 0, 2:5, 2:5] += 2
    batch = no_input(model, in_memory(x, labels))
    row = parse_method({"name": "unit_concepts", "layer": "conv"}).explain(model, batch).rows()[0]
    values = model.graph.run(x, {model.layer("conv").index})[1][model.layer("conv").index].flatten(2).amax(2)
    for unit in range(2):
        for concept in range(3):
            own, rest = (
                values[torch.from_numpy(labels == concept) == is_one, unit].detach() for is_one in (True, False)
            )
            test = mannwhitneyu(own, rest, alternative="two-sided")
            assert float(row.arrays["p"][unit, concept]) == pytest.approx(min(1.0, 6 * test.pvalue), rel=1e-5)
            assert float(row.arrays["auc"][unit, concept]) == pytest.approx(test.statistic / (20 * 40), rel=1e-5)
    best = row.info["associations"][0]
    assert (best["unit"], best["concept"]) == (0, "1")
    assert best["auc"] == 1.0
    assert row.arrays["scores"].tolist() == [(row.arrays["p"][:, c] < 0.05).sum() for c in range(3)]


def test_units_are_not_told_apart_by_one_label_or_none() -> None:
    model = model_of(Spots(), (1, 8, 8))
    for labels, why in ((None, "no labels"), (np.zeros(12, np.int64), "one label")):
        with pytest.raises(InvalidParameter, match=why):
            parse_method("unit_concepts").explain(model, no_input(model, in_memory(data(), labels)))
