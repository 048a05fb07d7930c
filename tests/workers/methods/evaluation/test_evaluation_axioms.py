"""Sensitivity-n, conservation and continuity against closed forms and naive replicas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.evaluation.judging import Difference, assert_close, judged, linear, noise
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.explanation.target import ValueTarget
from workers.methods.method import parse_method

VALUE = ValueTarget()


class Root(nn.Module):
    """y = x1 + sqrt(x2): S4 9.3."""

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, :1] + x[:, 1:].sqrt()).sum(1, keepdim=True)


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8), image=True)


@pytest.fixture(scope="module")
def difference() -> Model:
    return model_of(Difference(), (2,), output="value")


def test_contributions_of_a_linear_model_satisfy_sensitivity_n_for_every_n() -> None:
    model = model_of(linear(noise(12).tolist(), 0.7), (12,), output="value")
    method = {"name": "sensitivity_n", "of": "input_times_gradient", "sizes": [1, 4, 11]}
    for row in judged(model, noise(3, 12, seed=8), method, VALUE):
        assert_close(row.arrays["curves"], np.ones((1, 3)))
        assert abs(row.arrays["gaps"]).max() < 1e-5
        assert_close(row.arrays["whole"], row.arrays["lost"])


def test_what_the_book_prints_of_a_root() -> None:
    """At (4, 4) the score is 6; gradient times input says 5, integrated gradients say 6."""
    model = model_of(Root(), (2,), output="value", low=0.0, high=4.0)
    of = ["input_times_gradient", {"name": "integrated_gradients", "steps": 500}]
    (row,) = judged(model, torch.tensor([[4.0, 4.0]]), {"name": "sensitivity_n", "of": of, "sizes": [1]}, VALUE)
    assert_close(row.arrays["lost"], [6, 6])
    assert_close(row.arrays["whole"], [5, 6], 1e-3)
    assert row.arrays["gaps"][0, 0] > 0.1
    assert row.arrays["gaps"][1, 0] < 1e-2


def test_equals_a_loop_over_subsets(model: Model) -> None:
    """The same draws, feature by feature; Quantus sums the attributions of each step against losses of all so far."""
    x, sizes, subsets = inputs(2), [2, 20], 12
    method = {"name": "sensitivity_n", "of": ["gradient", "occlusion"], "sizes": sizes, "subsets": subsets, "seed": 4}
    rows = judged(model, x, method, 1)
    for i, row in enumerate(rows):
        source = torch.Generator().manual_seed(4)
        chosen = [torch.randperm(64, generator=source)[:size] for size in sizes for _ in range(subsets)]
        whole = float(model.forward(x[i : i + 1])[0, 1])
        lost = []
        for subset in chosen:
            without = x[i : i + 1].clone().flatten(1)
            without[0, subset] = 0
            lost.append(whole - float(model.forward(without.view(1, 1, 8, 8))[0, 1]))
        for at, name in enumerate(["gradient", "occlusion"]):
            maps = parse_method(name).explain(model, batch_of(x[i : i + 1], 1)).arrays["attribution"].flatten()
            said = [float(maps[subset].sum()) for subset in chosen]
            for k in range(len(sizes)):
                part = slice(k * subsets, (k + 1) * subsets)
                assert_close(row.arrays["curves"][at, k], np.corrcoef(said[part], lost[part])[0, 1], 1e-3)
                gap = np.abs(np.subtract(said[part], lost[part])).mean() / np.abs(lost[part]).mean()
                assert_close(row.arrays["gaps"][at, k], gap, 1e-3)


def test_sizes_by_default_reach_from_one_to_most_features(model: Model) -> None:
    (row,) = judged(model, inputs(1), {"name": "sensitivity_n", "of": "gradient"})
    assert row.arrays["at"][0] == 1
    assert row.arrays["at"][-1] == 51
    with pytest.raises(InvalidParameter, match="cannot be drawn from 64"):
        judged(model, inputs(1), {"name": "sensitivity_n", "sizes": [64]})


def test_a_map_of_one_value_correlates_with_nothing() -> None:
    model = model_of(linear([1.0, 1.0, 1.0, 1.0]), (4,), output="value")
    (row,) = judged(model, noise(1, 4), {"name": "sensitivity_n", "of": "gradient", "sizes": [2]}, VALUE)
    assert row.arrays["scores"].tolist() == [0]


def test_what_conserves_and_what_does_not() -> None:
    """Without biases a ReLU net is its gradient times the input; with them it is not."""
    of = ["input_times_gradient", "gradient", {"name": "lrp", "composite": "zero"}]
    bare, biased = (model_of(net(bias=bias, norm=False), (1, 8, 8)) for bias in (False, True))
    (row,) = judged(bare, inputs(1), {"name": "conservation", "of": of}, 1)
    score = float(bare.forward(inputs(1))[0, 1])
    assert_close(row.arrays["expected"], [score] * 3)
    assert row.arrays["scores"][[0, 2]].max() < 1e-4
    maps = parse_method("gradient").explain(bare, batch_of(inputs(1), 1)).arrays["attribution"]
    assert_close(row.arrays["sums"][1], maps.sum())
    assert_close(row.arrays["absolute"][1], maps.abs().sum())
    assert_close(row.arrays["scores"][1], abs(float(maps.sum()) - score) / abs(score), 1e-4)
    assert judged(biased, inputs(1), {"name": "conservation", "of": of}, 1)[0].arrays["scores"][0] > 0.01


class Product(nn.Module):
    """ReLU(x1 - 1) ReLU(x2): S4 9.3, where DeepLIFT does not add up."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x[:, :1] - 1) * torch.relu(x[:, 1:])


def test_the_counter_example_of_the_book() -> None:
    """At (2, 2) from 0 the score grows by 2; integrated gradients say (1.5, .5)."""
    model = model_of(Product(), (2,), output="value")
    method = {"name": "conservation", "of": {"name": "integrated_gradients", "steps": 1000}, "baseline": "zero"}
    (row,) = judged(model, torch.tensor([[2.0, 2.0]]), method, VALUE)
    assert_close(row.arrays["expected"], [2])
    assert_close(row.arrays["sums"], [2], 1e-3)


def test_the_gap_is_absolute_where_nothing_is_expected(difference: Model) -> None:
    (row,) = judged(difference, torch.tensor([[1.0, 2.0]]), {"name": "conservation", "of": "gradient"}, VALUE)
    assert row.arrays["expected"].tolist() == [0]
    assert row.arrays["scores"].tolist() == [0]


def of_difference(method: str, a: Tensor) -> Tensor:
    """What is attributed to (a1, a2), in closed form: gradient times input, and LRP-gamma with gamma .25."""
    f = (a[0] - a[1]).clamp(min=0)
    if f == 0:
        return torch.zeros(2)
    if method == "jumps":
        return torch.stack([a[0], -a[1]])
    z = 1.25 * a[0] - a[1]
    return torch.stack([1.25 * a[0], -a[1]]) / z * f


GAMMA: dict[str, Any] = {"name": "lrp", "composite": "gamma"}


@pytest.mark.parametrize("start", [(1.0, 0.99), (2.0, 0.5)])
def test_continuity_equals_the_closed_form_along_the_way(difference: Model, start: tuple[float, float]) -> None:
    from workers.methods.evaluation.continuity.compute import course

    x = torch.tensor([start])
    method = {"name": "continuity", "of": ["input_times_gradient", GAMMA], "course": "noise", "steps": 40}
    (row,) = judged(difference, x, method, VALUE)
    way = course(difference, batch_of(x, VALUE, seeds=[0]), "noise", 40, None)[0]
    for at, name in enumerate(["jumps", "gamma"]):
        maps = torch.stack([of_difference(name, a) for a in way])
        ratios = (maps[1:] - maps[:-1]).norm(dim=1) / (way[1:] - way[:-1]).norm(dim=1)
        assert_close(row.arrays["curves"][at], ratios, 1e-3)
        assert_close(row.arrays["scores"][at], ratios.max(), 1e-3)


def test_a_jump_has_no_bound_and_gamma_has_one(difference: Model) -> None:
    """S4 Fig. 13.3: over the line a1 = a2 gradient times input leaps from 0; LRP-gamma grows from 0."""
    x = torch.tensor([[1.0, 0.99]])
    method = {"name": "continuity", "of": ["input_times_gradient", GAMMA], "course": "noise", "steps": 100}
    (row,) = judged(difference, x, method, VALUE)
    assert row.arrays["scores"][0] > 50
    assert row.arrays["scores"][1] < 8


def test_the_occluder_slides_from_left_to_right(model: Model) -> None:
    x = inputs(1)
    from workers.methods.evaluation.continuity.compute import course

    way = course(model, batch_of(x, 0), "occlusion", 6, 2)[0]
    for step in range(7):
        expected = x[0].clone()
        expected[:, 3:5, step : step + 2] = x.mean()
        assert_close(way[step], expected)
    (row,) = judged(model, x, {"name": "continuity", "of": "gradient", "steps": 6, "patch": 2}, 0)
    maps = [parse_method("gradient").explain(model, batch_of(one[None], 0)).arrays["attribution"] for one in way]
    ratios = [float((b - a).norm() / (q - p).norm()) for a, b, p, q in zip(maps, maps[1:], way, way[1:], strict=False)]
    assert_close(row.arrays["curves"][0], ratios, 1e-4)
    scale = float(way[0].norm() / maps[0].norm())
    assert_close(row.arrays["relative"], [max(ratios) * scale], 1e-4)


def test_translation_repeats_the_edge(model: Model) -> None:
    from workers.methods.evaluation.continuity.compute import course

    x = inputs(1)
    way = course(model, batch_of(x, 0), "translation", 2, None)[0]
    assert_close(way[2][..., 2:], x[0][..., :-2])
    assert_close(way[2][..., :3], x[0][..., :1].expand(1, 8, 3))


def test_an_input_that_does_not_move_has_no_ratio(model: Model) -> None:
    (row,) = judged(model, torch.ones(1, 1, 8, 8), {"name": "continuity", "course": "translation"}, 0)
    assert row.arrays["scores"].tolist() == [0, 0]
