"""Clusters do not hang on rounding: what passes of 1, 7 and 32 rows differ by decides no neighbour, count or sign."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.resources import in_memory
from tests.toys import model_of
from workers.engine.model.batch import Batch
from workers.explanation.target import ClassTarget
from workers.methods.catalogue import parse_method
from workers.methods.dataset.spray.spectral_clustering import cluster, eigengap, spectrum

NOISE = 2e-7  # of values of length 1, as sums in another order have it


def grid(side: int) -> NDArray[np.float64]:
    """Points whose neighbours all lie equally far, and each of them twice."""
    lines = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) / side
    return np.concatenate([lines, lines])


@pytest.mark.parametrize("points", [grid(5), np.ones((20, 3)), np.eye(12)], ids=["grid", "all alike", "all apart"])
def test_neighbours_that_are_equally_far_are_chosen_by_their_places(points: NDArray[np.float64]) -> None:
    found = cluster(points, 5, None, 8, 0)
    for seed in range(6):
        noise = np.random.default_rng(seed).uniform(-NOISE, NOISE, points.shape)
        again = cluster(points + noise, 5, None, 8, 0)
        for one, other in zip(found, again, strict=True):
            np.testing.assert_array_equal(one, other)


def test_of_gaps_that_are_equally_wide_the_first_is_taken() -> None:
    assert [eigengap(np.array([0, 0.25, 0.5 + noise, 0.5])) for noise in (-1e-12, 0, 1e-12)] == [1, 1, 1]
    assert eigengap(np.array([0, 0.1, 0.5, 0.6])) == 2


@pytest.mark.parametrize("noise", [-1e-12, 0, 1e-12])
def test_a_vector_whose_ends_are_equally_far_from_zero_keeps_its_sign(noise: float) -> None:
    """Two parts that are alike: the vector that tells them apart is as far below zero as above."""
    far = -0.1 - noise
    laplacian = np.array([[1, -0.9, far, 0], [-0.9, 1, 0, -0.1], [far, 0, 1, -0.9], [0, -0.1, -0.9, 1]])

    class Held:
        shape = laplacian.shape

        def toarray(self) -> NDArray[np.float64]:
            return laplacian

    _, vectors = spectrum(Held(), 2, 0)
    np.testing.assert_allclose(vectors[:, 1], [0.5, 0.5, -0.5, -0.5], atol=1e-6)


@pytest.mark.parametrize("of", ["gradient", "input_times_gradient"])
def test_passes_of_any_size_find_the_same_clusters(of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 2))
    x = torch.rand(12, 1, 6, 6).repeat(4, 1, 1, 1)
    model, resources = model_of(module, (1, 6, 6)), in_memory(x, np.ones(len(x), np.int64))
    method = parse_method({"name": "spray", "of": of, "embedding": "spectral"})
    found = []
    for chunk in (1, 7, 32):
        monkeypatch.setattr(model, "_chunk", chunk)
        batch = Batch(torch.zeros(1, 1, 6, 6), [ClassTarget(index=1)], [0], resources=resources)
        found.append(method.explain(model, batch).rows()[0])
    for other in found[1:]:
        for name in ("clustering", "items", "eigenvalues", "embedding"):
            np.testing.assert_array_equal(found[0].arrays[name], other.arrays[name])
        for one, same in zip(found[0].info["clusters"], other.info["clusters"], strict=True):
            assert one["items"] == same["items"]
