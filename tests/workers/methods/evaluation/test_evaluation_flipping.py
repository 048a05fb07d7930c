"""Pixel flipping against a loop over patches; and the smallest box that takes the score away."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.evaluation.judging import Planted, assert_close, judged, linear, noise
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import ValueTarget
from workers.methods.method import parse_method


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8), image=True)


class Colours(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 4 * 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.conv(x).relu().flatten(1))
        return output


def naive(
    module: nn.Module, x: Tensor, relevance: Tensor, target: int, side: int, steps: int, sign: int
) -> list[float]:
    """The probabilities as patches go one by one: each becomes its own mean, channel by channel."""
    corners = [(top, left) for top in range(0, x.shape[1], side) for left in range(0, x.shape[2], side)]
    total = [float(relevance[:, top : top + side, left : left + side].sum()) for top, left in corners]
    order = sorted(range(len(corners)), key=lambda i: -sign * total[i])
    x, said = x.clone(), []
    with torch.no_grad():
        said.append(float(module(x[None]).softmax(1)[0, target]))
        for i in order[:steps]:
            top, left = corners[i]
            for channel in range(len(x)):
                patch = x[channel, top : top + side, left : left + side]
                patch[:] = patch.mean()
            said.append(float(module(x[None]).softmax(1)[0, target]))
    return said


@pytest.mark.parametrize(("order", "sign"), [("morf", 1), ("lerf", -1)])
@pytest.mark.parametrize("steps", [3, 100])
def test_equals_a_loop_over_patches_cut_at_the_edges(order: str, sign: int, steps: int) -> None:
    module, x = Colours(), noise(2, 3, 6, 7)
    colours = model_of(module, (3, 6, 7), image=True)
    of = ["gradient", {"name": "lrp", "composite": "epsilon"}]
    rows = judged(colours, x, {"name": "pixel_flipping", "of": of, "patch": 2, "steps": steps, "order": order}, 1)
    for i, row in enumerate(rows):
        for at, wanted in enumerate(of):
            maps = parse_method(wanted).explain(colours, batch_of(x[i : i + 1], 1)).arrays["attribution"][0]
            expected = naive(module, x[i], maps, 1, 2, steps, sign)
            assert_close(row.arrays["curves"][at], expected)
            assert_close(row.arrays["scores"][at], np.mean(expected[0] - np.array(expected)), 1e-4)
            assert row.info["methods"][at]["score"] == pytest.approx(float(row.arrays["scores"][at]))
    assert row.arrays["at"].tolist() == list(range(min(steps, 12) + 1))
    assert row.info["methods"][1]["label"] == "lrp composite=epsilon"


def test_side_by_side_is_as_alone(model: Model) -> None:
    of = ["gradient", "input_times_gradient", "occlusion", "grad_cam"]
    together = judged(model, inputs(2), {"name": "pixel_flipping", "of": of, "patch": 2})
    for at, one in enumerate(of):
        alone = judged(model, inputs(2), {"name": "pixel_flipping", "of": one, "patch": 2})
        for i in range(2):
            assert_close(together[i].arrays["curves"][at], alone[i].arrays["curves"][0])


def test_no_order_beats_that_of_the_contributions_of_a_linear_model() -> None:
    """With zero for what is gone, input times gradient is each feature's loss: its order is the steepest there is."""
    weights, x = [0.5, -1.0, 2.0, 0.1], torch.tensor([[1.0, 2.0, 1.0, -3.0]])
    model = model_of(linear(weights), (4,), output="value")
    method = {"name": "pixel_flipping", "of": "input_times_gradient", "fill": "zero", "score": "logit"}
    best, worst = (judged(model, x, {**method, "order": o}, ValueTarget())[0] for o in ("morf", "lerf"))
    contributions = [w * v for w, v in zip(weights, x[0].tolist(), strict=True)]
    areas = [
        np.mean([0.0, *np.cumsum([contributions[i] for i in order])]) for order in permutations(range(len(weights)))
    ]
    assert best.arrays["scores"][0] == pytest.approx(max(areas))
    assert worst.arrays["scores"][0] == pytest.approx(min(areas))


def test_chance_is_the_same_for_all_methods_and_drawn_from_the_seed(model: Model) -> None:
    method = {"name": "pixel_flipping", "order": "random", "patch": 2, "seed": 5}
    first, again = (judged(model, inputs(1), method)[0].arrays["curves"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[0], first[1])
    other = judged(model, inputs(1), {**method, "seed": 6})[0].arrays["curves"]
    assert not np.allclose(first, other)


def passes(model: Model, monkeypatch: pytest.MonkeyPatch, method: dict[str, Any]) -> int:
    """How many rows an evaluation runs through the model, beyond what its methods run."""
    count = 0
    run = type(model.graph).run

    def counted(graph: Any, x: Tensor, keep: Any = ()) -> Any:
        nonlocal count
        count += len(x)
        return run(graph, x, keep)

    with monkeypatch.context() as patched:
        patched.setattr(type(model.graph), "run", counted)
        judged(model, inputs(1), method)
    return count


def test_methods_that_agree_on_what_goes_first_share_passes(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods of one order cost no more passes than one; of two orders, they share the first and the last."""
    scaled = {"name": "smooth_grad", "samples": 1, "noise": 0.0}
    one = passes(model, monkeypatch, {"name": "pixel_flipping", "of": ["gradient"], "patch": 2})
    assert one == 17
    same = passes(model, monkeypatch, {"name": "pixel_flipping", "of": ["gradient", scaled], "patch": 2})
    assert same == one + 1  # the one sample of smooth_grad, whose pass is the graph's own
    two = {"name": "pixel_flipping", "of": ["gradient", "input_times_gradient"], "patch": 2}
    assert 17 < passes(model, monkeypatch, two) <= 17 + 15


@pytest.mark.parametrize("fill", ["mean", "zero", "minimum", "blur", "uniform"])
def test_when_all_is_gone_only_the_fill_is_left(model: Model, fill: str) -> None:
    from workers.engine.perturbation.baselines import baseline

    x = inputs(1)
    curve = judged(model, x, {"name": "pixel_flipping", "of": "gradient", "patch": 3, "fill": fill}, 0)[0].arrays[
        "curves"
    ]
    blank = baseline(model, batch_of(x, 0, seeds=[0]), fill)  # type: ignore[arg-type]  # one of the names
    assert_close(curve[0, -1], model.forward(blank).softmax(1)[0, 0])


def test_probability_is_for_logits() -> None:
    model = model_of(linear([1.0, 2.0]), (2,), output="value")
    with pytest.raises(MethodNotApplicable, match="of which there is no probability"):
        judged(model, torch.ones(1, 2), {"name": "pixel_flipping"}, ValueTarget())


def naive_boxes(module: nn.Module, x: Tensor, maps: Tensor, blank: Tensor, amounts: list[float]) -> list[float]:
    """S4 8.5.3 for one image: thresholds, tightest boxes, normalised suppression, the smallest that does."""
    scaled = (maps - maps.min()) / (maps.max() - maps.min())
    with torch.no_grad():
        p0, pb = float(module(x[None])[0, 0]), float(module(blank[None])[0, 0])
        found = []
        for level in [*np.arange(0, 1, 0.1), 1 - 1e-6]:
            rows, columns = np.nonzero((scaled >= float(np.float32(level))).numpy())
            box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
            erased = x.clone()
            erased[(slice(None), *box)] = blank[(slice(None), *box)]
            p = float(module(erased[None])[0, 0])
            area = (box[0].stop - box[0].start) * (box[1].stop - box[1].start) / maps.numel()
            found.append(((p0 - p) / (p0 - pb), area))
    return [min(area for taken, area in found if taken >= amount - 1e-6) for amount in amounts]


def test_minimal_deletion_equals_its_protocol_step_by_step() -> None:
    weights = noise(1, 6, 8).square()
    module, x = Planted(weights), noise(1, 1, 6, 8, seed=9).abs() + 0.1
    model = model_of(module, (1, 6, 8), output="value", low=0.0, high=5.0)
    amounts = [0.25, 0.5, 0.9, 1.0]
    method = {
        "name": "minimal_deletion", "of": ["input_times_gradient", "gradient"], "amounts": amounts, "fill": "zero",
        "score": "logit",
    }  # fmt: skip
    (row,) = judged(model, x, method, ValueTarget())
    for at, maps in enumerate([x[0, 0] * weights[0], weights[0]]):
        assert_close(row.arrays["curves"][at], naive_boxes(module, x[0], maps, torch.zeros_like(x[0]), amounts))
    assert row.arrays["at"].tolist() == pytest.approx(amounts)


def test_one_planted_pixel_is_the_smallest_box() -> None:
    weights = torch.zeros(1, 8, 8)
    weights[0, 2, 5] = 3.0
    model = model_of(Planted(weights), (1, 8, 8), output="value")
    method = {"name": "minimal_deletion", "of": "gradient", "fill": "zero", "score": "logit"}
    (row,) = judged(model, torch.ones(1, 1, 8, 8), method, ValueTarget())
    assert_close(row.arrays["curves"], np.full((1, 4), 1 / 64))
    assert row.arrays["undefined"].tolist() == [0]


def test_where_the_score_does_not_fall_there_is_nothing_to_find() -> None:
    model = model_of(Planted(-torch.ones(1, 4, 4)), (1, 4, 4), output="value")
    method = {"name": "minimal_deletion", "of": "gradient", "fill": "zero", "score": "logit"}
    (row,) = judged(model, torch.ones(1, 1, 4, 4), method, ValueTarget())
    assert_close(row.arrays["scores"], [1.0])
    assert row.arrays["undefined"].tolist() == [1.0]


def test_a_series_has_intervals_for_boxes() -> None:
    weights = torch.zeros(2, 10)
    weights[1, 3:5] = torch.tensor([1.0, 1.0])
    model = model_of(Planted(weights), (2, 10), output="value")
    method = {"name": "minimal_deletion", "of": "gradient", "fill": "zero", "score": "logit"}
    (row,) = judged(model, torch.ones(1, 2, 10), method, ValueTarget())
    assert_close(row.arrays["scores"], [0.2])


def test_a_range_that_the_card_does_not_give_is_asked_for() -> None:
    model = model_of(Planted(torch.ones(1, 4, 4)), (1, 4, 4), output="value")
    with pytest.raises(InvalidParameter, match="range of the input"):
        judged(
            model,
            torch.ones(1, 1, 4, 4),
            {"name": "pixel_flipping", "fill": "minimum", "score": "logit"},
            ValueTarget(),
        )
