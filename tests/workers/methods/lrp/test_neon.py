"""NEON: k-means and one-class SVMs by the closed forms of their distances, on the input and on layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM
from torch import Tensor, nn

from service.render.picture import caption
from tests.resources import InMemory, in_memory, no_input
from tests.toys import batch_of, model_of
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.result import Row
from workers.methods.catalogue import parse_method

CENTRES = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [0.0, 5.0, -2.0]])


def blobs(centres: np.ndarray = CENTRES, spread: float = 0.05) -> Tensor:
    source = torch.Generator().manual_seed(0)
    at = torch.tensor(centres).repeat_interleave(20, 0)
    return at + spread * torch.randn(at.shape, generator=source, dtype=torch.float64)


def plain(size: int = 3, module: nn.Module | None = None) -> Model:
    torch.manual_seed(0)
    return model_of(module or nn.Linear(size, 2), (size,), dtype=torch.float64)


def asked(model: Model, data: Tensor, x: Tensor, fit: dict[str, Any], **fields: Any) -> tuple[list[Row], InMemory]:
    resources = in_memory(data)
    method = parse_method({"name": "neon", "fit": {"name": "neon_fit", **fit}, **fields})
    method.refuse(model)
    return method.explain(model, batch_of(x, resources=resources)).rows(), resources


def centres_of(model: Model, resources: InMemory, fit: dict[str, Any]) -> np.ndarray:
    found: np.ndarray = resources.state(model, parse_method({"name": "neon_fit", **fit}))["centres"]
    return found.astype(float)


def test_planted_clusters_are_found_and_outliers_are_far() -> None:
    model, data = plain(), blobs()
    found = centres_of(model, in_memory(data), {"clusters": 3})
    order = np.abs(found[:, None] - CENTRES).sum(2).argmin(0)
    np.testing.assert_allclose(found[order], CENTRES, atol=0.05)
    x = torch.tensor([[0.1, 0.0, 0.0], [9.0, 9.0, 9.0]], dtype=torch.float64)
    rows, _ = asked(model, data, x, {"machine": "one_class_svm"})
    assert rows[1].info["answer"] > 10 * rows[0].info["answer"]


def test_of_two_clusters_it_is_the_difference_of_squared_distances() -> None:
    """f = |x - mu_k|^2 - |x - mu_c|^2, whatever the stiffness, and so feature by feature; both checks are exact."""
    model, data, fit = plain(), blobs(CENTRES[:2]), {"clusters": 2}
    x = torch.tensor([[0.5, 3.0, -1.0], [3.5, -1.0, 0.2]], dtype=torch.float64)
    for stiffness in (0.01, 1.0, 50.0):
        rows, resources = asked(model, data, x, fit, stiffness=stiffness)
        mu = centres_of(model, resources, fit)
        for row, one in zip(rows, x.numpy(), strict=True):
            own = row.info["cluster"]
            assert own == np.square(one - mu).sum(1).argmin()
            expected = (one - mu[1 - own]) ** 2 - (one - mu[own]) ** 2
            np.testing.assert_allclose(row.arrays["attribution"], expected, rtol=1e-5)
            assert row.info["answer"] == pytest.approx(expected.sum(), rel=1e-5)
            assert all(check.gap < 1e-9 for check in row.checks)


def test_of_several_the_nearest_rival_takes_most() -> None:
    """Written out: p_k of exp(-b h_k); the sum is f less the entropy over b."""
    model, data, fit, b = plain(), blobs(), {"clusters": 3}, 0.2
    x = torch.tensor([[1.5, 2.0, 0.5]], dtype=torch.float64)
    (row,), resources = asked(model, data, x, fit, stiffness=b)
    mu, one, own = centres_of(model, resources, fit), x.numpy()[0], row.info["cluster"]
    rivals = [k for k in range(3) if k != own]
    h = np.array([np.square(one - mu[k]).sum() - np.square(one - mu[own]).sum() for k in rivals])
    p = np.exp(-b * h) / np.exp(-b * h).sum()
    expected = sum(p_k * ((one - mu[k]) ** 2 - (one - mu[own]) ** 2) for p_k, k in zip(p, rivals, strict=True))
    np.testing.assert_allclose(row.arrays["attribution"], expected, rtol=1e-5)
    f = -np.log(np.exp(-b * h).sum()) / b
    assert row.info["answer"] == pytest.approx(f, rel=1e-5)
    assert row.checks[0].expected == pytest.approx(f - (p * np.log(p)).sum() / b, rel=1e-5)
    assert p[h.argmin()] > 0.5


def test_a_cluster_that_is_not_the_nearest_may_be_asked_about() -> None:
    model, data = plain(), blobs()
    x = torch.tensor(CENTRES[:1])
    (near,), _ = asked(model, data, x, {"clusters": 3})
    other = (near.info["cluster"] + 1) % 3
    (row,), _ = asked(model, data, x, {"clusters": 3}, cluster=other)
    assert near.info["answer"] > 0 > row.info["answer"]
    assert row.info["cluster"] == other


def test_a_one_class_svm_is_pooled_over_its_support_vectors() -> None:
    """R_i = sum_j p_j (x_i - u_ji)^2, p_j of alpha_j exp(-g |x - u_j|^2): by scikit-learn's own machine."""
    model, data, g = plain(), blobs(), 0.3
    x = torch.tensor([[1.5, 2.0, 0.5], [8.0, 0.0, 0.0]], dtype=torch.float64)
    rows, _ = asked(model, data, x, {"machine": "one_class_svm", "outliers": 0.2, "width": g})
    machine = OneClassSVM(kernel="rbf", nu=0.2, gamma=g).fit(data.numpy())
    alpha = machine.dual_coef_[0] / machine.dual_coef_.sum()
    for row, one in zip(rows, x.numpy(), strict=True):
        apart = (one - machine.support_vectors_) ** 2
        kernel = alpha * np.exp(-g * apart.sum(1))
        p = kernel / kernel.sum()
        np.testing.assert_allclose(row.arrays["attribution"], p @ apart, rtol=1e-4)
        assert row.info["answer"] == pytest.approx(-np.log(kernel.sum()) / g, rel=1e-4)
        assert (row.arrays["attribution"] >= 0).all()
        assert all(check.gap < 1e-9 for check in row.checks)
    order = machine.score_samples(x.numpy())
    assert (rows[0].info["answer"] < rows[1].info["answer"]) == (order[0] > order[1])


def test_from_a_layer_it_goes_on_by_rules() -> None:
    """Of a linear layer without bias LRP-0 is x_i w_ji R_j / z_j, and what the layer had is what the input has.

    A silent unit has relevance, too, by what its centres have: it passes its rectifier as any does.
    """
    torch.manual_seed(1)
    first = nn.Linear(3, 4, bias=False)
    model, fit = plain(module=nn.Sequential(first, nn.ReLU(), nn.Linear(4, 2))), {"layer": "1", "clusters": 2}
    x = torch.tensor([[0.5, 3.0, -1.0]], dtype=torch.float64)
    (row,), resources = asked(model, blobs(), x, fit, composite="zero")
    mu = centres_of(model, resources, fit)
    w = first.weight.detach().double()
    z = (x @ w.T)[0]
    a = z.relu()
    own = row.info["cluster"]
    top = (a - torch.tensor(mu[1 - own])) ** 2 - (a - torch.tensor(mu[own])) ** 2
    expected = (x[0] * w * (top / z)[:, None]).sum(0)
    np.testing.assert_allclose(row.arrays["attribution"], expected, rtol=1e-4)
    assert all(check.gap < 1e-6 for check in row.checks)
    assert (z < 0).any()


def test_the_picture_says_what_is_explained() -> None:
    """No target of the model's is: `output` would say that its score is."""
    rows, _ = asked(plain(), blobs(), blobs()[:1], {"clusters": 3})
    said = caption({"method": {"name": "neon"}, "model": {"name": "m"}, "target": None, "info": rows[0].info})
    assert said.title == f"neon: cluster {rows[0].info['cluster']}, by {rows[0].info['answer']:.3g}"
    rows, _ = asked(plain(), blobs(), blobs()[:1], {"machine": "one_class_svm"})
    said = caption({"method": {"name": "neon"}, "model": {"name": "m"}, "target": None, "info": rows[0].info})
    assert said.title == f"neon: how unusual it is, {rows[0].info['answer']:.3g}"


def test_clusters_of_noise_are_explained_as_well() -> None:
    """k-means finds what it is told to find; that it explains it is no sign that it is there."""
    noise = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows, resources = asked(plain(), noise, noise[:5], {"clusters": 5})
    assert len(centres_of(plain(), resources, {"clusters": 5})) == 5
    assert all(row.info["answer"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("fields", "pointer", "why"),
    [
        ({"fit": {"clusters": 61}}, "/method/clusters", "61 clusters"),
        ({"fit": {"clusters": 3}, "cluster": 3}, "/method/cluster", "counted from 0"),
        ({"fit": {"machine": "one_class_svm"}, "cluster": 0}, "/method/cluster", "no clusters"),
        ({"fit": {"layer": "nowhere"}}, "/method/layer", "no layer 'nowhere'"),
    ],
)
def test_what_cannot_be_asked_is_named(fields: dict[str, Any], pointer: str, why: str) -> None:
    with pytest.raises(InvalidParameter, match=why) as error:
        asked(plain(), blobs(), blobs()[:1], **fields)
    assert error.value.pointer == pointer


def test_a_node_without_a_rule_is_in_the_way_of_a_layer_above_it_alone() -> None:
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.last(torch.fft.rfft(self.first(x), n=6).real)
            return output

    model = plain(module=Sorted())
    for layer, refused in (("first", False), ("last", True)):
        method = parse_method({"name": "neon", "fit": {"name": "neon_fit", "layer": layer}})
        if refused:
            with pytest.raises(MethodNotApplicable):
                method.refuse(model)
        else:
            method.refuse(model)


def test_of_all_clusters_the_inputs_own_has_the_highest_answer() -> None:
    """zennit#198, shap#1052: f_c is above 0 in cluster c alone, so that its argmax is what k-means predicts."""
    model, data = plain(), blobs(spread=0.5)
    x = 3 * torch.randn(8, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    answers = [[row.info["answer"] for row in asked(model, data, x, {"clusters": 3}, cluster=c, stiffness=1e4)[0]]
               for c in range(3)]  # fmt: skip
    rows, _ = asked(model, data, x, {"clusters": 3})
    assert np.argmax(answers, 0).tolist() == [row.info["cluster"] for row in rows]
    assert ((np.array(answers) > 0).sum(0) == 1).all()


def test_the_feature_that_makes_an_outlier_has_most_of_it() -> None:
    """pyod#5, shap#33: which column makes this row unusual?"""
    source = torch.Generator().manual_seed(0)
    data = torch.randn(200, 6, generator=source, dtype=torch.float64)
    x = data[:4].clone()
    x[range(4), (1, 4, 0, 5)] += 8
    rows, _ = asked(plain(6), data, x, {"machine": "one_class_svm"})
    for row, column in zip(rows, (1, 4, 0, 5), strict=True):
        share = row.arrays["attribution"] / row.arrays["attribution"].sum()
        assert share.argmax() == column
        assert share[column] > 0.7


def test_fewer_items_may_be_looked_at() -> None:
    method = parse_method({"name": "neon_fit", "items": 20, "clusters": 2})
    found = method.explain(plain(), no_input(plain(), in_memory(blobs()))).rows()[0].arrays
    assert found["counts"].sum() == 20
