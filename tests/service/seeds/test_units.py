"""Rows of the seeds about units, layers, clusters and pairs, each over HTTP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.svm import OneClassSVM
from torch import Tensor, nn

from tests.service.seeds.asking import answered, sent, tensor
from tests.several import model_of_inputs
from tests.toys import inputs, model_of
from whence import Client
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec

CENTRES = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [0.0, 5.0, -2.0]], np.float32)
BLOBS = CENTRES.repeat(20, 0) + 0.05 * np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
ROW = np.array([1.5, 2.0, 0.5], np.float32)
LEFT, RIGHT = np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)


class Spots(nn.Module):
    """The sum of three by three, and its negation, then the classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.fc = nn.Linear(2 * 36, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.conv(x).relu().flatten(1))
        return output


class Cancelling(nn.Module):
    """What two units make is taken off but for a little."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(2))
            self.last.weight.copy_(torch.tensor([[20.0, -19.0]]))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.last(self.first(x))
        return output


class Pair(nn.Module):
    """The scalar product of what two linear maps make."""

    def __init__(self) -> None:
        super().__init__()
        self.v, self.w = (nn.Parameter(torch.from_numpy(one)) for one in (LEFT, RIGHT))

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return ((one @ self.v.T) * (other @ self.w.T)).sum(1)


def models() -> dict[str, Model]:
    specs = {"one": InputSpec(shape=(3,)), "other": InputSpec(shape=(3,))}
    rows = {name: torch.ones(2, 3) for name in specs}
    torch.manual_seed(0)
    return {
        "spots": model_of(Spots(), (1, 8, 8), digest=f"sha256:{1:064d}"),
        "cancelling": model_of(Cancelling(), (2,), digest=f"sha256:{2:064d}", output="value"),
        "row": model_of(nn.Linear(3, 2), (3,), digest=f"sha256:{3:064d}"),
        "pair": model_of_inputs(Pair(), specs, rows, torch.float32, output="value", digest=f"sha256:{4:064d}"),
    }


def spots() -> Any:
    """Sixty images; those of label 1 have a bright spot, the brightest in item 7."""
    x = 0.3 * inputs(60, seed=2).numpy()
    x[np.arange(60) % 3 == 1, 0, 2:5, 2:5] += 2
    x[7, 0, 3:6, 4:7] += 5
    return x


def values(x: Any) -> Any:
    """Of either unit the strongest place, (n, 2)."""
    return Spots().conv(torch.from_numpy(x)).flatten(2).amax(2).detach().numpy()


def test_items_are_those_that_the_unit_likes_best_and_the_patch_is_what_it_saw(client: Client) -> None:
    x = spots()
    method = {"name": "top_items", "dataset": sent(client, inputs=x), "count": 4}
    found = answered(client, "spots", method, {"layer": "conv", "channel": 0})
    best = values(x)[:, 0].argsort()[::-1][:4]
    np.testing.assert_array_equal(found.arrays["items"], best)
    np.testing.assert_allclose(found.arrays["scores"], values(x)[best, 0], rtol=1e-5)
    assert best[0] == 7
    np.testing.assert_array_equal(found.arrays["patches"][0], [[3, 5], [4, 6]])


def test_a_unit_goes_with_a_label_by_the_rank_test_times_the_number_of_tests(client: Client) -> None:
    x, labels = spots(), np.arange(60) % 3
    method = {"name": "unit_concepts", "dataset": sent(client, inputs=x, labels=labels), "layer": "conv"}
    found = answered(client, "spots", method)
    for unit in range(2):
        for label in range(3):
            own, rest = (values(x)[(labels == label) == is_one, unit] for is_one in (True, False))
            p = mannwhitneyu(own, rest, alternative="two-sided").pvalue
            assert found.arrays["p"][unit, label] == pytest.approx(min(1.0, 6 * p), rel=1e-4)


def test_the_relevance_that_a_layer_is_given_is_told_with_its_size(client: Client) -> None:
    """Relevance (20, -19) sums to 1, and its magnitudes to 39."""
    method = {"name": "lrp", "composite": "zero"}
    found = answered(client, "cancelling", method, "value", input=tensor(np.ones(2)))
    layers = {one["layer"]: one for one in found.info["layers"]}
    assert [layers[name]["given"] for name in ("last", "first")] == pytest.approx([1, 1])
    assert [layers[name]["absolute"] for name in ("last", "first")] == pytest.approx([1, 39])


def test_of_three_clusters_the_nearest_rival_takes_most(client: Client) -> None:
    """R = sum_k p_k [(a - mu_k)^2 - (a - mu_c)^2], p the soft minimum of the rivals."""
    fit = {"name": "neon_fit", "dataset": sent(client, inputs=BLOBS), "clusters": 3}
    found = answered(client, "row", {"name": "neon", "fit": fit, "stiffness": 0.2}, input=tensor(ROW))
    means = BLOBS.reshape(3, 20, 3).mean(1)
    away = (ROW - means) ** 2
    own = away.sum(1).argmin()
    rivals = [k for k in range(3) if k != own]
    h = away[rivals].sum(1) - away[own].sum()
    p = np.exp(-0.2 * h) / np.exp(-0.2 * h).sum()
    np.testing.assert_allclose(found.map, p @ (away[rivals] - away[own]), rtol=1e-3)
    assert p[h.argmin()] > 0.5


def test_an_outlier_is_far_from_the_support_vectors_that_are_near(client: Client) -> None:
    """R_i = sum_j p_j (x_i - u_ji)^2, with scikit-learn's own machine."""
    fit = {"name": "neon_fit", "machine": "one_class_svm", "dataset": sent(client, inputs=BLOBS), "outliers": 0.2}
    found = answered(client, "row", {"name": "neon", "fit": {**fit, "width": 0.3}}, input=tensor(ROW))
    machine = OneClassSVM(kernel="rbf", nu=0.2, gamma=0.3).fit(BLOBS.astype(float))
    away = (ROW - machine.support_vectors_) ** 2
    p = machine.dual_coef_[0] * np.exp(-0.3 * away.sum(1))
    np.testing.assert_allclose(found.map, p / p.sum() @ away, rtol=1e-3)


def test_pairs_of_two_linear_maps_are_the_product_through_them(client: Client) -> None:
    """R_ij = x_i (V'W)_ij x'_j, which sums to the score."""
    one, other = np.array([1.0, -2.0, 3.0], np.float32), np.array([0.5, 1.0, -1.0], np.float32)
    given = {"one": tensor(one), "other": tensor(other)}
    found = answered(client, "pair", {"name": "bilrp", "composite": "zero"}, "value", inputs=given)
    wanted = one[:, None] * (LEFT.T @ RIGHT) * other
    np.testing.assert_allclose(found.arrays["pairs"], wanted, rtol=1e-4, atol=1e-5)
    assert found.told["explained"]["score"] == pytest.approx(wanted.sum(), rel=1e-4)
