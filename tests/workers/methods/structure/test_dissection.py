"""dissection: planted detectors, and quantiles of streams."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tests.resources import InMemory, InMemoryDataset, no_input
from tests.toys import inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidDataset, MethodNotApplicable
from workers.explanation.result import Result
from workers.methods.catalogue import parse_method
from workers.methods.structure.dissection.streaming_quantiles import Histogram, from_bits, ordered_bits, threshold


class Detectors(nn.Module):
    """Unit 0 sees bright red, unit 1 bright green, unit 2 what is random, unit 3 nothing; each at half the places."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1, bias=False)
        self.layer.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])[:, :, None, None]
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.layer(nn.functional.avg_pool2d(x, 2)).relu().mean((2, 3)))
        return output


def scene(n: int = 24, side: int = 16) -> InMemoryDataset:
    """Red squares and green ones, in some pictures, with their masks; a third concept lies where nothing is seen."""
    generator = torch.Generator().manual_seed(0)
    x, masks = torch.rand(n, 3, side, side, generator=generator) * 0.1, torch.zeros(n, 3, side, side, dtype=torch.bool)
    for i in range(0, n, 2):
        for concept in range(2):
            top, left = (2 * torch.randint(0, side // 2 - 2, (2,), generator=generator)).tolist()
            x[i, concept, top : top + 4, left : left + 4] += 1 + i / 100
            masks[i, concept, top : top + 4, left : left + 4] = True
        masks[i, 2, 0, 0] = True
    return InMemoryDataset(x, masks=masks)


def dissected(model: Model, data: InMemoryDataset, **parameters: object) -> Result:
    return explain(model, no_input(model, InMemory({"training": data})), name="dissection", **parameters)


def naive(maps: Tensor, masks: Tensor, quantile: float) -> Tensor:
    """Equation 12.1 as it stands, with a whole dataset in memory."""
    maps = interpolate(maps, size=masks.shape[2:], mode="bilinear", align_corners=False)
    found = torch.zeros(maps.shape[1], masks.shape[1])
    shown = masks.flatten(1).any(1)
    for k in range(maps.shape[1]):
        ordered = maps[:, k].flatten().sort(descending=True).values
        picked = (maps[:, k] > ordered[int(len(ordered) * quantile)])[shown]
        for c in range(masks.shape[1]):
            truth = masks[shown, c]
            found[k, c] = (picked & truth).sum() / max(1, int((picked | truth).sum()))
    return found


def test_planted_detectors_are_found_with_their_concepts() -> None:
    model = model_of(Detectors(), (3, 16, 16))
    result = dissected(model, scene(), quantile=0.02, layer="relu")
    info = result.info[0]
    assert [(one["unit"], one["concept"]) for one in info["detectors"]] == [(0, 0), (1, 1)]
    assert all(one["iou"] > 0.5 for one in info["detectors"])
    assert info["unique_detectors"] == 2
    assert info["units"] == 4
    assert result.arrays["scores"].shape == (1, 4)


@pytest.mark.parametrize("quantile", [0.005, 0.1])
def test_it_equals_equation_12_1_on_a_whole_dataset(quantile: float) -> None:
    model, data = model_of(net(), (1, 8, 8)), InMemoryDataset(inputs(30), masks=inputs(30, seed=2, shape=(3, 8, 8)) > 1)
    result = dissected(model, data, quantile=quantile, layer="act")
    assert data.masks is not None
    maps = model.folded.run(data.x, [2])[1][2]
    torch.testing.assert_close(result.arrays["iou"][0].float(), naive(maps, data.masks, quantile), rtol=0, atol=2e-3)


class Bright(nn.Module):
    """One unit, on where the input is."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.fc = nn.Conv2d(1, 1, 1, bias=False), nn.Linear(1, 2)
        self.layer.weight.data.fill_(1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.layer(x).relu().mean((2, 3)))
        return output


@pytest.mark.parametrize(("categories", "iou"), [((0, 1), [0.5, 0.5]), ((), [0.25, 1 / 3]), ((0, 0), [0.25, 1 / 3])])
def test_items_of_another_category_do_not_count_against_a_unit(categories: tuple[int, ...], iou: list[float]) -> None:
    """S4 l.4399. Each of two items shows one concept and has the unit on at two places."""
    x, masks = torch.zeros(2, 1, 4, 4), torch.zeros(2, 2, 4, 4, dtype=torch.bool)
    x[:, 0, 0, :2] = 1
    masks[0, 0, 0, 0] = True  # one of the unit's two places
    masks[1, 1, 0, :2] = masks[1, 1, 1, :2] = True  # both of them, and two more
    found = dissected(model_of(Bright(), (1, 4, 4)), InMemoryDataset(x, masks=masks, categories=categories),
                      layer="relu", quantile=0.2)  # fmt: skip
    assert found.arrays["iou"][0, 0].tolist() == pytest.approx(iou)


def test_it_goes_on_where_a_worker_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.engine.data.streaming.KEEP_S", -1.0)
    model, data = model_of(net(), (1, 8, 8)), InMemoryDataset(inputs(30), masks=inputs(30, seed=2, shape=(3, 8, 8)) > 1)
    resources = InMemory({"training": data})
    whole = explain(model, no_input(model, resources), name="dissection")
    assert set(resources.phases) == {"thresholds", "finer thresholds", "overlaps"}
    again = explain(model, no_input(model, resources), name="dissection")
    for name, array in whole.arrays.items():
        assert torch.equal(array, again.arrays[name])


def test_concepts_of_items_without_any_are_no_part_of_the_union() -> None:
    model, data = model_of(Detectors(), (3, 16, 16)), scene()
    assert data.masks is not None
    only = InMemoryDataset(data.x[::2], masks=data.masks[::2])
    wide, narrow = (dissected(model, one, quantile=q, layer="relu") for one, q in ((data, 0.02), (only, 0.04)))
    torch.testing.assert_close(wide.arrays["iou"][0, :2], narrow.arrays["iou"][0, :2])


# Quantiles ------------------------------------------------------------------------------------------------------------


def test_bits_are_ordered_as_numbers_are() -> None:
    values = torch.tensor([-torch.inf, -3e38, -1.5, -1.0, -1e-40, 0.0, 1e-40, 1.0, 1.5, 3e38, torch.inf])
    bits = ordered_bits(values)
    assert (bits.diff() > 0).all()
    assert torch.equal(from_bits(bits), values)


def test_streamed_thresholds_are_those_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, 20000, generator=generator) * torch.tensor([1e-6, 1.0, 1e6, 1.0, 0.0])[:, None]
    values[3] = values[3].clamp(min=0)
    for quantile in (0.0005, 0.005, 0.3, 0.7, 0.9999):
        most = torch.full((5,), int(20000 * quantile))
        first = Histogram.of(5, torch.device("cpu"))
        for part in torch.split(values, 777, 1):
            first.add(part)
        second = Histogram.of(5, torch.device("cpu"), first.bin_above(most)[0])
        for part in torch.split(values, 777, 1):
            second.add(part)
        found = threshold(first, second, most)
        exact = values.sort(1, descending=True).values.gather(1, most[:, None])[:, 0]
        torch.testing.assert_close(found[:4], exact[:4], rtol=2**-15, atol=1e-40)
        assert ((values > found[:, None]).sum(1) <= most).all()


def test_what_it_cannot_do_is_refused() -> None:
    model = model_of(net(), (1, 8, 8))
    with pytest.raises(InvalidDataset, match="no masks"):
        dissected(model, InMemoryDataset(inputs(3)))
    series = model_of(nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2)), (2, 8))
    with pytest.raises(MethodNotApplicable, match="height and width"):
        parse_method("dissection").refuse(series)
    nowhere = dissected(model, InMemoryDataset(inputs(3), masks=torch.zeros(3, 1, 8, 8) > 0))
    assert not nowhere.arrays["iou"].any()
