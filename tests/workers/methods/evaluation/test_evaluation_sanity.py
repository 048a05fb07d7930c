"""Randomization, the pointing game, the box ratio and compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from tests.resources import in_memory
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.evaluation.judging import Planted, assert_close, judged, noise, over, training
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import ValueTarget
from workers.methods.evaluation.randomization.shuffled_weights import layers, shuffled
from workers.methods.method import parse_method

VALUE = ValueTarget()
LAYERS = ["fc", "conv2", "conv1"]


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(net(), (1, 8, 8), image=True)


def weights(model: Model, layer: str) -> torch.Tensor:
    node = model.folded.find(layer)
    assert node is not None
    found: torch.Tensor = node.args[1]
    return found


def test_a_cascade_goes_down_from_the_output_and_leaves_the_model_alone(model: Model) -> None:
    before = {name: weights(model, name).clone() for name in LAYERS}
    strangers = shuffled(model, in_memory(inputs(2)), True, 3)
    for depth, stranger in enumerate(strangers, 1):
        for at, name in enumerate(LAYERS):
            ours, theirs = before[name].flatten(), weights(stranger.model, name).flatten()
            assert torch.equal(ours, theirs) == (at >= depth)
            assert torch.equal(ours.sort()[0], theirs.sort()[0])
    assert all(torch.equal(weights(model, name), value) for name, value in before.items())


def test_alone_means_alone(model: Model) -> None:
    for depth, stranger in enumerate(shuffled(model, in_memory(inputs(2)), False, 3)):
        changed = [not torch.equal(weights(model, name), weights(stranger.model, name)) for name in LAYERS]
        assert changed == [at == depth for at in range(3)]


def test_weights_that_are_shared_stay_shared() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.out = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.out(self.fc(torch.relu(self.fc(x))))
            return output

    model = model_of(Twice(), (4,))
    assert [len(group) for group in layers(model.folded)] == [1, 2]
    stranger = shuffled(model, in_memory(noise(2, 4)), True, 0)[-1].model
    first, second = (node.args[1] for node in stranger.folded.nodes if node.op == "linear" and node.shape == (4,))
    assert first is second


@pytest.mark.parametrize("magnitudes", [False, True])
def test_scores_are_spearman_against_the_shuffled_model(model: Model, magnitudes: bool) -> None:
    method = {"name": "randomization", "of": ["gradient", "occlusion"], "magnitudes": magnitudes, "seed": 3}
    rows = judged(model, inputs(2), method, 1)
    for i, row in enumerate(rows):
        assert row.info["layers"] == LAYERS
        for at, name in enumerate(["gradient", "occlusion"]):
            for depth, stranger in enumerate(shuffled(model, in_memory(inputs(2)), True, 3)):
                one, other = (
                    parse_method(name).explain(m, batch_of(inputs(2)[i : i + 1], 1)).arrays["attribution"].flatten()
                    for m in (model, stranger.model)
                )
                pair = (one.abs(), other.abs()) if magnitudes else (one, other)
                assert_close(row.arrays["curves"][at, depth], spearmanr(*pair).statistic, 2e-3)
        assert_close(row.arrays["scores"], row.arrays["curves"][:, -1])


def test_rows_of_several_seeds_meet_their_own_strangers(model: Model) -> None:
    together = judged(model, inputs(2), {"name": "randomization"}, seeds=[3, 4])
    for i, seed in enumerate([3, 4]):
        (alone,) = judged(model, inputs(2)[i : i + 1], {"name": "randomization"}, seeds=[seed])
        assert_close(together[i].arrays["curves"], alone.arrays["curves"], 1e-3)


def test_a_method_that_looks_at_the_input_alone_is_found_out() -> None:
    """Behind weights of one sign, relevance by z+ follows the input whatever the weights are; the gradient does not."""
    torch.manual_seed(0)
    first, second = nn.Linear(64, 32, bias=False), nn.Linear(32, 2, bias=False)
    for layer in (first, second):
        layer.weight.data.abs_()
    model = model_of(nn.Sequential(nn.Flatten(), first, nn.ReLU(), second), (1, 8, 8))
    method = {"name": "randomization", "of": [{"name": "lrp", "composite": "alpha1_beta0"}, "gradient"]}
    scores = np.mean([row.arrays["scores"] for row in judged(model, inputs(8).abs(), method, 0)], 0)
    assert scores[0] > 0.8
    assert abs(scores[1]) < 0.2


def test_another_model_takes_the_shuffled_ones_place(model: Model) -> None:
    resources = in_memory(inputs(2))
    resources.models["untrained"] = other = model_of(net(seed=9), (1, 8, 8), image=True)
    (row,) = judged(model, inputs(1), {"name": "randomization", "other": "untrained"}, 1, resources=resources)
    one, two = (
        parse_method("gradient").explain(m, batch_of(inputs(1), 1)).arrays["attribution"].flatten()
        for m in (model, other)
    )
    assert_close(row.arrays["curves"][0], [spearmanr(one, two).statistic], 1e-3)
    assert row.info["layers"] == ["untrained"]


def test_what_is_fitted_to_data_is_fitted_to_the_shuffled_model() -> None:
    """Insens weights units by their rates; of another model they are other rates."""
    model = model_of(net(norm=False), (1, 8, 8))
    resources = in_memory(inputs(8, seed=5))
    (row,) = judged(model, inputs(1), {"name": "randomization", "of": "insens"}, 1, resources=resources)
    (stranger,) = shuffled(model, resources, True, 0)[-1:]
    own = parse_method("insens").explain(model, batch_of(inputs(1), 1, resources=resources)).arrays["attribution"]
    there = in_memory(inputs(8, seed=5))
    new = parse_method("insens").explain(stranger.model, batch_of(inputs(1), 1, resources=there)).arrays["attribution"]
    assert_close(row.arrays["scores"], [spearmanr(own.flatten(), new.flatten()).statistic], 1e-3)


def test_a_model_without_weights_has_none_to_shuffle() -> None:
    with pytest.raises(MethodNotApplicable, match="no weights"):
        judged(model_of(Planted(torch.ones(4, 1)), (4, 1), output="value"), noise(1, 4, 1), {"name": "randomization"})


def planted(at: tuple[int, int] = (1, 6)) -> Model:
    """An 8 x 8 image whose gradient is 1 at one place, and less at all others."""
    values = torch.full((1, 8, 8), 0.25)
    values[0, at[0], at[1]] = 1.0
    return model_of(Planted(values), (1, 8, 8), output="value")


@pytest.mark.parametrize(
    ("box", "margin", "hit"),
    [
        ((0.75, 0.125, 0.875, 0.25), 0, 1),  # that place alone
        ((0.0, 0.0, 0.75, 1.0), 0, 0),
        ((0.0, 0.0, 0.75, 1.0), 1, 1),
        ((0.75, 0.25, 1.0, 1.0), 0, 0),  # rows are not columns
        ((0.0, 0.75, 1.0, 1.0), 3, 0),
    ],
)
def test_the_strongest_place_lies_in_the_box_or_not(box: Any, margin: int, hit: int) -> None:
    method = {"name": "pointing_game", "of": "gradient", "box": box, "margin": margin}
    (row,) = judged(planted(), torch.ones(1, 1, 8, 8), method, VALUE)
    assert row.arrays["scores"].tolist() == [hit]


def test_an_even_map_gains_nothing() -> None:
    model = model_of(Planted(torch.ones(1, 8, 8)), (1, 8, 8), output="value")
    (row,) = judged(model, torch.ones(1, 1, 8, 8), {"name": "pointing_game", "of": "gradient"}, VALUE)
    assert row.arrays["scores"].tolist() == [0.25]


def test_the_ratio_of_what_lies_inside() -> None:
    """One place of 1 and three of 1/4 in the box, sixty of 1/4 outside; with signs it is the magnitudes that count."""
    values = torch.full((1, 8, 8), -0.25)
    values[0, 1, 6] = 1.0
    model = model_of(Planted(values), (1, 8, 8), output="value")
    method = {"name": "box_ratio", "of": "gradient", "box": (0.75, 0.0, 1.0, 0.25)}
    (row,) = judged(model, torch.ones(1, 1, 8, 8), method, VALUE)
    assert_close(row.arrays["scores"], [1.75 / 15])
    assert_close(row.arrays["share"], [1.75 / 16.75])
    assert_close(row.arrays["area"], [4 / 64])


def test_nothing_outside_ends_at_a_million() -> None:
    values = torch.zeros(1, 8, 8)
    values[0, 4, 4] = 1
    model = model_of(Planted(values), (1, 8, 8), output="value")
    (row,) = judged(model, torch.ones(1, 1, 8, 8), {"name": "box_ratio", "of": "gradient"}, VALUE)
    assert row.arrays["scores"].tolist() == [1e6]


def test_boxes_masks_and_classes_of_a_dataset() -> None:
    """Each item has its own box; where there are masks, an object is where any concept is."""
    x = torch.ones(4, 1, 8, 8)
    boxes = np.array([[0.75, 0, 1, 0.25], [0, 0, 0.25, 0.25], [0, 0, 1, 1], [0, 0.5, 1, 1]], np.float32)
    labels = np.array([1, 0, 1, 0])
    resources = training(x, boxes=boxes, labels=labels, classes=("cat", "dog"))
    row = over(planted(), {"name": "pointing_game", "dataset": "training", "of": "gradient"}, resources)
    assert row.arrays["by_item"].tolist() == [[1, 0, 1, 0]]
    assert row.arrays["scores"].tolist() == [0.5]
    assert row.info["classes"] == [
        {"label": "cat", "inputs": 2, "scores": [0.0]}, {"label": "dog", "inputs": 2, "scores": [1.0]},
    ]  # fmt: skip
    masks = torch.zeros(4, 2, 8, 8, dtype=torch.bool)
    masks[:, 0, 7, 7] = True
    masks[1:, 1, 1, 6] = True
    row = over(planted(), {"name": "pointing_game", "dataset": "training", "of": "gradient"}, training(x, masks=masks))
    assert row.arrays["by_item"].tolist() == [[0, 1, 1, 1]]


def test_what_is_no_box_is_named() -> None:
    x = torch.ones(2, 1, 8, 8)
    with pytest.raises(InvalidParameter, match="neither boxes nor masks"):
        over(planted(), {"name": "box_ratio", "dataset": "training"}, training(x))
    boxes = np.array([[0, 0, 1, 1], [0.9, 0, 0.1, 1]], np.float32)
    with pytest.raises(InvalidParameter, match="item 1"):
        over(planted(), {"name": "box_ratio", "dataset": "training"}, training(x, boxes=boxes))
    with pytest.raises(InvalidParameter, match="holds no place"):
        judged(planted(), x, {"name": "box_ratio", "box": (0.5, 0.5, 0.5, 1)}, VALUE)
    with pytest.raises(MethodNotApplicable, match="in an image"):
        judged(model_of(nn.Linear(4, 2), (4,)), noise(1, 4), {"name": "pointing_game"})


def test_compare_is_spearman_of_each_two(model: Model) -> None:
    of = ["gradient", "input_times_gradient", "layer_cam", "occlusion"]
    for magnitudes in (False, True):
        rows = judged(model, inputs(2), {"name": "compare", "of": of, "magnitudes": magnitudes}, 1)
        for i, row in enumerate(rows):
            maps = [
                parse_method(name).explain(model, batch_of(inputs(2)[i : i + 1], 1)).arrays["attribution"].flatten()
                for name in of
            ]
            table = np.stack([m.abs() if magnitudes else m for m in maps], 1)
            expected = spearmanr(table).statistic
            assert_close(row.arrays["matrix"], expected, 2e-3)
            assert_close(row.arrays["scores"], (expected.sum(1) - 1) / 3, 2e-3)


def test_a_method_agrees_with_itself(model: Model) -> None:
    (row,) = judged(model, inputs(1), {"name": "compare", "of": "gradient"})
    assert row.arrays["scores"].tolist() == [1]
