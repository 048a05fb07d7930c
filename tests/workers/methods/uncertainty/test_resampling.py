"""Maps over models and over halves of the data, and consensus of methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.resources import InMemory, InMemoryDataset, in_memory
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.uncertainty.uncertainty_runs import GXI, explained
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.explanation.result import Attribution
from workers.methods.catalogue import parse_method
from workers.methods.uncertainty.resampling.halves import Halved


def test_over_models_mean_std_and_effect_are_those_of_their_maps() -> None:
    models = [model_of(net(seed), (1, 8, 8)) for seed in range(3)]
    resources = in_memory(inputs(4))
    resources.models |= {"second": models[1], "third": models[2]}
    x = inputs(2)
    rows = explained(models[0], "resampling", x, 1, of=GXI, models=["second", "third"], resources=resources)
    maps = np.stack([[row.arrays["attribution"] for row in explained(m, GXI, x, 1)] for m in models])
    for at, row in enumerate(rows):
        mean, std = maps[:, at].mean(0), maps[:, at].std(0, ddof=1)
        np.testing.assert_allclose(row.arrays["attribution"], mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(row.arrays["std"], std, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(row.arrays["effect"], mean / std, rtol=1e-3)
        pairs = np.corrcoef(maps[:, at].reshape(3, -1))[np.triu_indices(3, 1)]
        assert row.info["correlation"] == pytest.approx(pairs.mean(), rel=1e-4)
    resources.models["other"] = model_of(nn.Linear(4, 2), (4,))
    with pytest.raises(InvalidParameter, match=r"an input of the shape \[4\], and toy \[1, 8, 8\]"):
        explained(models[0], "resampling", x, 1, of=GXI, models=["other"], resources=resources)


def test_halves_share_no_item_and_make_up_the_whole() -> None:
    labels = np.arange(11)
    resources = InMemory({"d": InMemoryDataset(inputs(11), labels)})
    first, second = (Halved(resources, 7, which).dataset("d") for which in (False, True))
    found = [np.concatenate([items.labels for items in half.batches(3)]) for half in (first, second)]
    assert (first.count, second.count) == (5, 6) == tuple(map(len, found))
    assert sorted(np.concatenate(found)) == labels.tolist()
    for start in range(6):
        tail = list(second.batches(3, start))
        assert tail[0].start == start
        np.testing.assert_array_equal(np.concatenate([items.labels for items in tail]), found[1][start:])


def test_the_variance_of_split_halves_is_that_of_a_fit_on_half_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that says the mean of its data: its variance over halves is known, sigma^2 / (n / 2)."""
    data = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    method = parse_method({"name": "resampling", "of": "pattern_attribution", "splits": 200})

    def learned(_: Any, model: Model, batch: Batch) -> Attribution:
        seen = torch.cat([items.x for items in batch.resources.dataset("training").batches(8)])
        return Attribution({"attribution": seen.mean(0).expand(len(batch), 1, 8, 8)})

    monkeypatch.setattr(type(method.inner()[0]), "explain", learned)
    resources = in_memory(data)
    (row,) = method.explain(model_of(net(), (1, 8, 8)), batch_of(inputs(1), 0, resources=resources)).rows()
    np.testing.assert_allclose(row.arrays["attribution"], data.mean(0), atol=1e-6)
    # of a finite dataset without replacement: sigma^2 * 2 / n, sigma^2 with n - 1
    expected = data.var(0) * 2 / 40
    assert np.square(row.arrays["std"]).mean() == pytest.approx(float(expected.mean()), rel=0.05)


def test_halves_tell_nothing_of_a_method_that_learns_from_no_data() -> None:
    with pytest.raises(InvalidParameter, match="looks at no dataset"):
        explained(model_of(net(), (1, 8, 8)), "resampling", inputs(1), 0, of=GXI)


def test_halves_of_patterns_run_and_depend_on_the_seed_alone() -> None:
    model, x = model_of(net(norm=False), (1, 8, 8)), inputs(2)
    together = explained(model, "resampling", x, 1, seeds=[1, 2], splits=2)
    alone = explained(model, "resampling", x[1:], 1, seeds=[2], splits=2)
    np.testing.assert_allclose(together[1].arrays["std"], alone[0].arrays["std"], rtol=1e-4, atol=1e-7)
    assert together[0].arrays["std"].max() > 0


def test_consensus_is_the_mean_of_ranks_whatever_the_scales() -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(1)
    names = ["gradient", GXI, "occlusion"]
    maps = [explained(model, name, x, 1)[0].arrays["attribution"] for name in names]
    for by in ("size", "value"):
        ranks = []
        for heat in maps:
            flat = (np.abs(heat) if by == "size" else heat).ravel()
            ranks.append([((flat < v).sum() + (flat == v).sum() / 2) / flat.size for v in flat])
        (row,) = explained(model, "consensus", x, 1, of=names, by=by)
        np.testing.assert_allclose(row.arrays["attribution"].ravel(), np.mean(ranks, 0), atol=1e-6)
        np.testing.assert_allclose(row.arrays["std"].ravel(), np.std(ranks, 0), atol=1e-6)
        np.testing.assert_allclose(row.info["correlation"], np.corrcoef(ranks), atol=1e-6)
    assert row.info["methods"] == names
    same = explained(model, "consensus", x, 1, of=[GXI, GXI])[0]
    assert not same.arrays["std"].any()


def test_consensus_of_maps_with_and_without_channels_is_over_places() -> None:
    torch.manual_seed(0)
    model = model_of(
        nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)), (3, 8, 8)
    )
    (row,) = explained(model, "consensus", inputs(1, shape=(3, 8, 8)), of=["gradient", "grad_cam"])
    assert row.arrays["attribution"].shape == (1, 8, 8)
