"""Pictures that show the input: overlay, scaled, mask, projection, in grey and in colour."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.render.heatmap import draw_map
from service.render.input_mask import draw_mask, draw_scaled, threshold
from service.render.picture import colour_levels, gray_levels
from service.render.plots.projection import draw_projection
from service.render.style import Look
from tests.service.render.drawings import CAPTION, cell, f32, pixels, signed_map


def test_an_overlay_shows_the_input_where_nothing_speaks() -> None:
    below = np.zeros((4, 4), np.uint8)
    below[1, 1] = 255
    picture = pixels(draw_map("overlay", signed_map(), Look(clip=100), CAPTION, below))
    light, dark = cell(picture, 1, 1), cell(picture, 2, 2)
    assert len(set(light)) == len(set(dark)) == 1
    assert light[0] > dark[0] + 100
    red, blue = cell(picture, 0, 0), cell(picture, 3, 3)
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60


def test_a_coarse_overlay_lies_on_the_whole_input() -> None:
    picture = draw_map("overlay", np.ones((1, 2, 2)), Look(), CAPTION, np.zeros((30, 20), np.uint8))
    assert pixels(picture).shape[0] >= 448


def on_input(draw: Any, values: NDArray[Any], seen: NDArray[Any], **look: Any) -> NDArray[np.uint8]:
    return pixels(draw(values, Look(**look), CAPTION, seen))


COLOURED = np.full((4, 4, 3), (200, 100, 0), np.uint8)


def test_a_scaled_input_is_as_bright_as_the_relevance_is_large() -> None:
    picture = on_input(draw_scaled, signed_map(), COLOURED, clip=100)
    assert cell(picture, 0, 0) == cell(picture, 3, 3) == [200, 100, 0]
    assert cell(picture, 0, 3) == [100, 50, 0]
    assert cell(picture, 1, 1) == [0, 0, 0]
    positive = on_input(draw_scaled, signed_map(), COLOURED, clip=100, polarity="positive")
    assert cell(positive, 3, 3) == [0, 0, 0]


def test_a_mask_leaves_the_top_share_in_sight_and_says_its_sign() -> None:
    hidden = [222, 222, 222]
    picture = on_input(draw_mask, signed_map(), COLOURED, share=2 / 16)
    assert cell(picture, 1, 1) == cell(picture, 0, 3) == hidden
    red, blue = (np.array(cell(picture, *at)) - (120, 60, 0) for at in ((0, 0), (3, 3)))
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    whole = on_input(draw_mask, signed_map(), COLOURED, share=1)
    assert cell(whole, 1, 1) == hidden  # what says nothing is never in sight
    assert cell(whole, 0, 3) != hidden
    unsigned = on_input(draw_mask, np.abs(signed_map()), COLOURED, share=2 / 16)
    assert cell(unsigned, 0, 0) == cell(unsigned, 3, 3) == [200, 100, 0]


@given(st.integers(0, 2**31), st.floats(0.001, 1))
@settings(max_examples=50, deadline=None)
def test_the_threshold_keeps_the_share(seed: int, share: float) -> None:
    values = f32(np.random.default_rng(seed).normal(size=(9, 11)))
    assert (np.abs(values) >= threshold(values, share)).sum() == max(1, round(share * 99))
    assert (np.abs(values.round()) >= threshold(values.round(), share)).sum() >= max(1, round(share * 99))


def test_a_projection_is_each_channel_about_mid_grey() -> None:
    values = np.zeros((3, 4, 4), np.float32)
    values[:, 0, 0] = 2, -2, 1
    picture = pixels(draw_projection(values, Look(clip=100), CAPTION))
    assert cell(picture, 0, 0) == [255, 0, 191]
    assert cell(picture, 1, 1) == [128, 128, 128]
    single = pixels(draw_projection(values[:1], Look(clip=100), CAPTION))
    assert cell(single, 0, 0) == [255, 255, 255]
    assert cell(single, 1, 1) == [128, 128, 128]


def test_the_input_in_grey() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0] = 255, 255, 255
    picture[0, 1] = 0, 255, 0
    assert gray_levels(picture, (2, 2)).tolist() == [[255, 150], [0, 0]]
    assert gray_levels(f32([[[-1, 0], [1, 3]]]), (2, 2)).tolist() == [[0, 64], [128, 255]]
    assert gray_levels(np.zeros((3, 2, 2), np.float32), (2, 2)).tolist() == [[0, 0], [0, 0]]


def test_the_input_in_colour() -> None:
    photo = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert colour_levels(photo, (2, 2)) is photo
    tensor = f32(np.arange(12).reshape(3, 2, 2))
    assert colour_levels(tensor, (2, 2))[0, 0].tolist() == [0, 93, 185]
    assert colour_levels(tensor[:1], (2, 2))[..., 0].tolist() == gray_levels(tensor[:1], (2, 2)).tolist()
    assert colour_levels(np.zeros(4, np.float32), (2, 3)).shape == (2, 3, 3)
