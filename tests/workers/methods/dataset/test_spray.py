"""Clusters of heat maps and shares of relevance: planted structure is found, fits have closed forms."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from service.render.frame import Caption
from service.render.plots.clusters import draw_clusters
from service.render.style import Look
from tests.resources import InMemory, in_memory
from tests.toys import inputs, model_of, net
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.explanation.result import Row
from workers.explanation.target import ClassTarget, RankTarget, Target
from workers.methods.catalogue import parse_method
from workers.methods.dataset.relevance_share.compute import fits
from workers.methods.dataset.spray.heatmaps import Heatmaps
from workers.methods.dataset.spray.spectral_clustering import DENSE, cluster, eigengap, spectrum

GXI = "input_times_gradient"
MARKED = 12


def explained(model: Model, name: str, target: Target, resources: InMemory, **fields: Any) -> Row:
    method = parse_method({"name": name, **fields})
    method.refuse(model)
    x = torch.zeros(1, *model.card.input.shape)
    return method.explain(model, Batch(x, [target], [fields.get("seed", 0)], resources=resources)).rows()[0]


def clever_hans() -> tuple[Model, Tensor, NDArray[np.int64], NDArray[np.bool_]]:
    """A net that knows class 1 by a cross in the middle or by a mark in the corner, which some of its items bear."""
    source = torch.Generator().manual_seed(0)
    weight = torch.zeros(2, 1, 10, 10)
    weight[1, 0, 3:7, 5] = weight[1, 0, 5, 3:7] = 1
    weight[1, 0, 0:2, 0:2] = 3
    module = nn.Sequential(nn.Flatten(), nn.Linear(100, 2))
    with torch.no_grad():
        module[1].weight.copy_(weight.flatten(1))  # type: ignore[operator]  # a linear layer
    x = 0.1 * torch.rand(90, 1, 10, 10, generator=source)
    labels = np.arange(90) % 2
    marked = (labels == 1) & (np.arange(90) >= 90 - 2 * MARKED)
    x[:, 0, 3:7, 5] += torch.from_numpy((labels == 1) & ~marked)[:, None]
    x[:, 0, 5, 3:7] += torch.from_numpy((labels == 1) & ~marked)[:, None]
    x[:, 0, 0:2, 0:2] += torch.from_numpy(marked)[:, None, None]
    return model_of(module, (1, 10, 10)), x, labels, marked


@pytest.mark.parametrize("of", [GXI, {"name": "lrp", "composite": "epsilon"}])
def test_a_planted_mark_is_a_cluster_of_its_own(of: Any) -> None:
    model, x, labels, marked = clever_hans()
    row = explained(model, "spray", ClassTarget(index=1), in_memory(x, labels), of=of)
    np.testing.assert_array_equal(row.arrays["items"], np.flatnonzero(labels == 1))
    np.testing.assert_array_equal(row.arrays["clustering"], marked[labels == 1])
    assert [told["size"] for told in row.info["clusters"]] == [45 - MARKED, MARKED]
    assert all(marked[number] for number in row.info["clusters"][1]["items"])
    strongest = [np.unravel_index(mean.argmax(), mean.shape) for mean in row.arrays["mean"]]
    assert max(strongest[1]) < 2 < min(strongest[0])
    assert row.arrays["embedding"].shape == (45, 2)
    assert eigengap(row.arrays["eigenvalues"]) == 2


def test_of_a_rank_every_item_is_explained_for_its_own_class() -> None:
    model, x, labels, _ = clever_hans()
    row = explained(model, "spray", RankTarget(rank=0), in_memory(x, labels), of=GXI, clusters=3, items=40)
    assert row.arrays["clustering"].shape == (40,)
    assert row.arrays["mean"].shape == (3, 10, 10)
    sizes = [told["size"] for told in row.info["clusters"]]
    assert sum(sizes) == 40
    assert sizes == sorted(sizes, reverse=True)
    unlabelled = explained(model, "spray", ClassTarget(index=1), in_memory(x), of=GXI, embedding="tsne", items=30)
    assert unlabelled.arrays["embedding"].shape == (30, 2)
    assert unlabelled.arrays["embedding"].std() > 0


def test_maps_are_averaged_down_to_cells_and_summed_over_channels() -> None:
    torch.manual_seed(0)
    model = model_of(nn.Sequential(nn.Flatten(), nn.Linear(2 * 6 * 8, 2)), (2, 6, 8))
    x = inputs(4, shape=(2, 6, 8))
    row = explained(model, "spray", ClassTarget(index=0), in_memory(x), of=GXI, cells=3, clusters=1)
    method = parse_method(GXI)
    heat = method.explain(model, Batch(x, [ClassTarget(index=0)] * 4)).rows()
    maps = np.stack([one.arrays["attribution"].sum(0) for one in heat])
    cells = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps), 3).mean(0)
    np.testing.assert_allclose(row.arrays["mean"][0], cells, rtol=1e-4, atol=1e-6)


def test_a_class_without_items_is_told() -> None:
    model, x, labels, _ = clever_hans()
    for name in ("spray", "relevance_share"):
        with pytest.raises(InvalidParameter, match="bears the label of class 0"):
            explained(model, name, ClassTarget(index=0), in_memory(x, np.ones_like(labels)), of=GXI)


def test_a_job_that_lost_its_worker_goes_on_behind_the_maps_that_were_kept() -> None:
    model, x, _, _ = clever_hans()
    whole = explained(model, "spray", RankTarget(rank=0), in_memory(x), of=GXI)
    resources, found = in_memory(x), Heatmaps()
    maps = [row.arrays["attribution"][0] for row in parse_method(GXI).explain(
        model, Batch(x[:24], [RankTarget(rank=0)] * 24)).rows()]  # fmt: skip
    found.add(np.arange(24), torch.from_numpy(np.stack(maps)))
    resources.save("heatmaps", {**found.arrays(), "next item": np.array(24)})
    again = explained(model, "spray", RankTarget(rank=0), resources, of=GXI)
    for name in ("clustering", "items", "mean"):
        np.testing.assert_allclose(again.arrays[name], whole.arrays[name], rtol=1e-5, atol=1e-6)


def test_the_sparse_spectrum_is_the_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).standard_normal((60, 4)) + np.repeat(np.eye(3, 4) * 12, 20, 0)
    dense = cluster(features, 5, None, 8, 0)
    monkeypatch.setattr("workers.methods.dataset.spray.spectral_clustering.DENSE", 0)
    sparse = cluster(features, 5, None, 8, 0)
    assert DENSE > 60
    np.testing.assert_allclose(sparse.eigenvalues, dense.eigenvalues, atol=1e-6)
    np.testing.assert_array_equal(sparse.labels, dense.labels)
    assert {tuple(np.unique(dense.labels[i : i + 20])) for i in (0, 20, 40)} == {(0,), (1,), (2,)}


def test_the_eigenvalues_are_those_of_the_normalised_laplacian() -> None:
    from scipy.sparse import csr_array

    path = np.array([[1, -(0.5**0.5), 0], [-(0.5**0.5), 1, -(0.5**0.5)], [0, -(0.5**0.5), 1]])
    np.testing.assert_allclose(spectrum(csr_array(path), 3, 0)[0], [0, 1, 2], atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_few_items_are_clustered_too(count: int) -> None:
    model, x, _, _ = clever_hans()
    row = explained(model, "spray", ClassTarget(index=1), in_memory(x[:count]), of=GXI)
    assert row.arrays["clustering"].shape == (count,)
    assert row.arrays["embedding"].shape == (count, 2)


class Later(nn.Module):
    """Reads the later of six frames more than the earlier: with weights 1 to 6."""

    def forward(self, x: Tensor) -> Tensor:
        frames = x.flatten(2).sum(2)
        score = (frames * torch.arange(1.0, 7.0)).sum(1, keepdim=True)
        return torch.cat([score, -score], 1)


def test_relevance_is_shared_out_among_frames() -> None:
    model = model_of(Later(), (6, 2, 3))
    x = torch.ones(5, 6, 2, 3)
    row = explained(model, "relevance_share", ClassTarget(index=0), in_memory(x), of=GXI, axis=0)
    np.testing.assert_allclose(row.arrays["scores"], np.arange(1, 7) / 21, rtol=1e-5)
    np.testing.assert_allclose(row.arrays["std"], 0, atol=1e-6)
    assert row.info["lookahead"]["L"] == pytest.approx(1 / 21, rel=1e-4)
    assert row.info["border"]["B"] == pytest.approx(0, abs=1e-6)
    squared = explained(model, "relevance_share", ClassTarget(index=0), in_memory(x), axis=0)
    np.testing.assert_allclose(squared.arrays["scores"], np.arange(1, 7) ** 2 / 91, rtol=1e-5)
    assert squared.info["border"]["B"] == pytest.approx(1 / 91, rel=1e-4)


def test_the_seeds_table_is_of_frames_counted_from_one() -> None:
    """S4 table 16.1: with its B, C, D the mean share of 16 frames is 1/16, to the digits printed."""
    t = np.arange(1, 17)
    for b, c, d, slope, a in ((0.0018, -0.0322, 0.1661, -0.0012, 0.0729), (-0.0005, 0.0082, 0.0389, -0.0002, 0.0640)):
        curve = b * t**2 + c * t + d
        assert curve.mean() == pytest.approx(1 / 16, abs=0.006)
        assert (slope * t + a).mean() == pytest.approx(1 / 16, abs=0.0005)
        found = fits(curve)
        assert [*found["border"].values()] == pytest.approx([b, c, d])


def test_items_whose_relevance_cancels_are_left_out() -> None:
    model = model_of(Later(), (6, 2, 3))
    x = torch.ones(3, 6, 2, 3)
    x[1] = 0
    x[2, :, :, 0] *= -2
    x[2, :, :, 1:] = 1
    row = explained(model, "relevance_share", ClassTarget(index=0), in_memory(x), of=GXI, axis=0)
    assert (row.info["items"], row.info["left_out"]) == (1, 2)
    sized = explained(model, "relevance_share", ClassTarget(index=0), in_memory(x), of=GXI, axis=0, size=True)
    assert (sized.info["items"], sized.info["left_out"]) == (2, 1)
    with pytest.raises(InvalidParameter, match="could be shared out"):
        explained(model, "relevance_share", ClassTarget(index=0), in_memory(x[1:2]), of=GXI, axis=0)


def test_an_axis_that_is_not_there_is_told() -> None:
    model = model_of(net(), (1, 8, 8))
    for axis in (3, -4, "time"):
        with pytest.raises(InvalidParameter, match="axes 0 to 2"):
            explained(model, "relevance_share", ClassTarget(index=0), in_memory(inputs(3)), axis=axis)


def test_the_picture_holds_every_cluster() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], (20, 6, 4))
    drawn = draw_clusters(
        rng.standard_normal((3, 8, 8)), labels, rng.standard_normal((30, 2)), Look(size=300), Caption("spray of lrp")
    )
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.width > 300
        colours = {colour for _, colour in picture.getcolors(1 << 20) or ()}
    assert len(colours) > 20
