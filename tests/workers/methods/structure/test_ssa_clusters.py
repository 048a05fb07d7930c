"""Clusters of dependency graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.resources import no_input
from tests.toys import inputs, model_of
from tests.workers.methods.gradient.gradient_runs import explain
from tests.workers.methods.structure.ssa_runs import dataset
from workers.explanation.errors import InvalidParameter
from workers.methods.catalogue import parse_method

# Clusters of graphs ---------------------------------------------------------------------------------------------------


class TwoPairs(nn.Module):
    """Classes 0 and 2 build on the same two units, and so do 1 and 3 on two others; each has a third of its own."""

    below = ((0, 1, 4), (2, 3, 5), (0, 1, 6), (2, 3, 7))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.fc = nn.Linear(6, 40), nn.Linear(40, 4)
        with torch.no_grad():
            self.first.weight.mul_(0.1)
            self.first.bias.fill_(1)
            self.fc.weight.mul_(0.1)
            for c, units in enumerate(self.below):
                self.fc.weight[c, list(units)] = 1

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.first(x).relu())
        return output


def clustered(**parameters: Any) -> Any:
    model = model_of(TwoPairs(), (6,), labels=("cat", "car", "dog", "bus"))
    graphs = [{"name": "ssa", "dataset": "pictures", "classes": [c], "layers": ["relu"]} for c in range(4)]
    batch = no_input(model, dataset(inputs(5, shape=(6,))))
    return explain(model, batch, name="ssa_clusters", **{"graphs": graphs, **parameters})


def test_two_planted_pairs_of_classes_that_share_features_cluster_together() -> None:
    found = clustered()
    assert found.arrays["clustering"][0].tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])
    order = [graph["labels"][0] for graph in found.info[0]["graphs"]]
    drawn = [order[i] for i in found.arrays["order"][0].tolist()]
    assert {frozenset(drawn[:2]), frozenset(drawn[2:])} == {frozenset({"cat", "dog"}), frozenset({"car", "bus"})}
    presence = found.arrays["presence"][0]
    nodes = [node["unit"] for node in found.info[0]["nodes"]]
    for c, units in enumerate(TwoPairs.below):
        assert sorted(np.array(nodes)[presence[c].nonzero()[0]].tolist()) == sorted(units)


def test_wards_heights_are_those_of_cosine_distances() -> None:
    """Two of three nodes shared: cosine similarity 2/3, and the distance between unit vectors its chord."""
    merges = clustered().arrays["merges"][0]
    assert merges.shape == (3, 4)
    np.testing.assert_allclose(merges[:2, 2], np.sqrt(2 * (1 - 2 / 3)))


def test_graphs_that_cannot_be_compared_are_refused() -> None:
    for graphs in (["ssa", "ssa"], ["gradient", "gradient"]):
        with pytest.raises(ValidationError):
            parse_method({"name": "ssa_clusters", "graphs": graphs})
    two = [{"name": "ssa", "dataset": "pictures", "classes": [0], "layers": layers} for layers in ([], ["relu"])]
    with pytest.raises(InvalidParameter, match="different layers"):
        clustered(graphs=two)
