"""Pictures that a person reads at once, and that hide neither sign nor scale."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.render.colormaps import colours
from service.render.frame import MARGIN, bar_labels
from service.render.heatmap import draw_map
from service.render.picture import caption, draw
from service.render.plots.bars import draw_bars
from service.render.scale import from_its_floor, legend, plane, scaled
from service.render.style import Look, Picture
from service.render.synthesis import CURVE, draw_synthesis
from tests.service.render.drawings import CAPTION, TOP, cell, f32, pixels, signed_map
from workers.contract import InvalidParameter, encode_npy

BELOW = np.full((4, 4), 100, np.uint8)


def heatmap(values: NDArray[Any], **look: Any) -> NDArray[np.uint8]:
    return pixels(draw_map("heatmap", values, Look(**look), CAPTION, BELOW))


def test_zero_is_white_and_the_signs_are_equally_strong() -> None:
    picture = heatmap(signed_map(), clip=100)
    assert cell(picture, 1, 1) == [255, 255, 255]
    assert cell(picture, 0, 0) == colours(f32([1]), "blue_red")[0].tolist()
    assert cell(picture, 3, 3) == colours(f32([-1]), "blue_red")[0].tolist()
    assert cell(picture, 0, 3) == colours(f32([0.5]), "blue_red")[0].tolist()


def test_the_scale_is_symmetric_though_the_values_are_not() -> None:
    values = signed_map()
    values[0, 3, 3] = -0.5
    drawn = scaled(plane(values, "sum"), Look(clip=100))
    assert (drawn.limit, drawn.values.min(), drawn.values.max()) == (2, -0.25, 1)


def test_a_small_map_is_drawn_large_and_its_pixels_stay_pixels() -> None:
    picture = heatmap(np.random.default_rng(0).normal(size=(1, 28, 28)))
    assert min(picture.shape[:2]) >= 448
    body = picture[TOP : TOP + 448, MARGIN : MARGIN + 448]
    assert np.array_equal(body, np.repeat(np.repeat(body[::16, ::16], 16, 0), 16, 1))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([2.0, -1.0], ["2", "0", "-2"]),
        ([2.0, 1.0], ["2", "0"]),
        ([-2.0, -1.0], ["2", "0", "-2"]),
        ([0.0, 0.0], ["0"]),
        ([1.23456e-7, 0], ["1.23e-07", "0"]),
    ],
)
def test_the_bar_has_numbers(values: list[float], labels: list[str]) -> None:
    drawn = scaled(np.array([values], np.float32), Look(clip=100))
    assert [text for _, text in bar_labels(drawn)] == labels


def test_what_saturates_is_said() -> None:
    values = np.ones((20, 20), np.float32)
    values[0, 0], values[1, 1] = 100, -1
    drawn = scaled(values, Look(clip=99))
    assert [text for _, text in bar_labels(drawn)] == [">= 1", "0", "<= -1"]
    assert "colours end at percentile 99" in legend(drawn, Look(clip=99), "blue_red")


def test_a_few_values_among_zeros_are_not_clipped_away() -> None:
    values = np.zeros((100, 100), np.float32)
    values[0, 0] = 3
    assert scaled(values, Look()).limit == 3


@given(st.integers(0, 2**31), st.floats(-30, 30), st.floats(50, 100))
@settings(max_examples=50, deadline=None)
def test_no_sign_is_ever_lost(seed: int, exponent: float, clip: float) -> None:
    values = f32(np.random.default_rng(seed).normal(size=(6, 6)) * 10.0**exponent)
    drawn = scaled(values, Look(clip=clip))
    assert np.isfinite(drawn.values).all()
    assert np.array_equal(np.sign(drawn.values), np.sign(values))
    assert np.abs(drawn.values).max() <= 1


def test_a_map_of_one_sign_keeps_its_sign() -> None:
    blue = cell(heatmap(-np.ones((1, 4, 4))), 1, 1)
    assert blue[2] > blue[0]
    assert scaled(-np.ones((4, 4), np.float32), Look()).signed


def test_the_unsigned_map_is_refused_for_signed_values() -> None:
    with pytest.raises(InvalidParameter, match="hide the sign"):
        heatmap(signed_map(), colormap="heat")
    assert heatmap(signed_map(), colormap="heat", polarity="absolute").any()


@pytest.mark.parametrize(
    ("polarity", "drawn"), [("positive", (1, 0)), ("negative", (0, -1)), ("absolute", (1, 1)), ("both", (1, -1))]
)
def test_polarity_chooses_the_values(polarity: Any, drawn: tuple[int, int]) -> None:
    found = scaled(f32([[2, -2]]), Look(polarity=polarity, clip=100))
    assert tuple(found.values[0].tolist()) == drawn
    assert polarity == "both" or polarity[:5] in legend(found, Look(polarity=polarity), "blue_red").replace(
        "magn", "absol"
    )


@pytest.mark.parametrize(("channels", "value"), [("sum", -1), ("abs", 7), ("norm", 5)])
def test_channels_become_one_number(channels: Any, value: float) -> None:
    assert plane(f32([3, -4]).reshape(2, 1, 1), channels).tolist() == [[value]]


def test_gray_is_grey_and_zero_is_its_middle() -> None:
    picture = pixels(draw_map("gray", signed_map(), Look(clip=100), CAPTION, BELOW))
    assert cell(picture, 1, 1) == [128] * 3
    assert (cell(picture, 0, 0), cell(picture, 3, 3)) == ([255] * 3, [0] * 3)


@pytest.mark.parametrize("picture", [name for name in get_args(Picture) if name != "waterfall"])
@pytest.mark.parametrize("shape", [(4,), (3, 500), (1, 1), (2, 5, 7, 9), (1, 1500, 40), (3, 8, 8)])
def test_every_picture_takes_every_shape(picture: Picture, shape: tuple[int, ...]) -> None:
    meta = {"method": {"name": "lrp"}, "model": {"name": "toy"}}
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    arrays = [encode_npy(values), encode_npy(np.zeros(shape, np.float32))]
    assert pixels(draw(picture, meta, arrays, Look(size=64))).shape[2] == 3


def test_bars_point_to_the_side_of_their_sign() -> None:
    picture = pixels(draw_bars(f32([3, -3]), Look(), CAPTION, ["age", "fare"])).astype(int)
    body = picture[TOP : TOP + 44, MARGIN : MARGIN + 448]
    red, blue = body[:, :, 0] - body[:, :, 2] > 100, body[:, :, 2] - body[:, :, 0] > 80
    assert red[:22].any()
    assert not red[22:].any()
    assert blue[22:].any()
    assert not blue[:22].any()
    assert np.argwhere(red)[:, 1].min() > np.argwhere(blue)[:, 1].max()


def test_of_many_features_the_strongest_are_drawn() -> None:
    values = np.zeros(1000, np.float32)
    values[777] = -1
    picture = pixels(draw_bars(values, Look(), CAPTION)).astype(int)
    assert picture.shape[0] < 1200
    assert (picture[TOP:, MARGIN:400, 2] - picture[TOP:, MARGIN:400, 0] > 80).any()


@pytest.mark.parametrize("shape", [(3, 500), (500, 3), (1, 1), (2, 5, 7, 9), (1, 1500, 40), (1, 8, 8)])
def test_any_shape_is_a_readable_picture(shape: tuple[int, ...]) -> None:
    height, width = pixels(draw_map("heatmap", np.ones(shape), Look(), CAPTION, BELOW)).shape[:2]
    assert height > 100
    assert width > 140


def test_the_caption_says_what_is_explained() -> None:
    meta: dict[str, Any] = {
        "method": {"name": "smooth_grad", "of": {"name": "gradient"}},
        "model": {"name": "squeezenet"},
        "target": {"kind": "class", "index": 243, "label": "bull mastiff"},
        "prediction": [{"index": 243, "score": 22.514, "probability": 0.98765}],
    }
    said = caption(meta).title
    assert said == "smooth_grad of gradient: class 243 (bull mastiff), score 22.5, p 0.988"
    meta["target"] = {"kind": "class", "index": 3, "label": "3"}
    assert caption(meta).title == "smooth_grad of gradient: class 3"
    meta["target"] = {"kind": "unit", "layer": "conv", "channel": 7}
    assert caption(meta).title == "smooth_grad of gradient: channel 7 of conv"
    for target, words in (
        ({"index": [1, 2]}, "output 1, 2"),
        ({"index": [1, 2], "label": "dog"}, "output dog at 2"),
        ({"index": [1, 2], "label": "verb", "token": "sat"}, "output verb at token 2 (sat)"),
        ({"index": [1], "label": "height"}, "output height"),
    ):
        meta["target"] = {"kind": "element", **target}
        assert caption(meta).title == f"smooth_grad of gradient: {words}"


def test_a_map_on_a_pedestal_is_scaled_from_its_least_value_and_says_so() -> None:
    """Every value of a RISE map is near the mean score: from zero it would be one dark field."""
    values = np.linspace(12, 16, 64, dtype=np.float32).reshape(8, 8)
    drawn = from_its_floor(scaled(values, Look(clip=100)))
    assert drawn.values.min() == 0
    assert drawn.values.max() == pytest.approx(1)
    assert bar_labels(drawn) == [(1.0, "16"), (0.0, "12")]
    assert "least value" in legend(drawn, Look(), "heat")
    low = scaled(np.linspace(1, 16, 64, dtype=np.float32).reshape(8, 8), Look(clip=100))
    assert from_its_floor(low) is low
    signed = scaled(values - 14, Look(clip=100))
    assert from_its_floor(signed) is signed


def test_what_has_no_curve_has_no_room_for_one() -> None:
    made = np.random.default_rng(0).random((9, 1, 8, 8), np.float32)
    plain, curved = (
        pixels(draw_synthesis(made, np.zeros((9, steps), np.float32), None, Look(), CAPTION)) for steps in (0, 5)
    )
    assert curved.shape[0] - plain.shape[0] == 3 * CURVE
