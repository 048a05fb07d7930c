"""Pictures of what is no image: each number is where it belongs, in the colour of its sign."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.render.axis_kinds import Layout
from service.render.input_mask import edge
from service.render.picture import draw
from service.render.slices import shares
from service.render.style import Look
from workers.contract import encode_npy

RED, BLUE = 0, 2


def drawn(
    attribution: Any, seen: Any, axes: tuple[str, ...], names: tuple[str, ...] = (), picture: Any = "heatmap"
) -> NDArray[np.int_]:
    meta = {
        "method": {"name": "lrp"},
        "model": {"name": "toy"},
        "target": {"index": 1},
        "layout": {"axes": axes, "names": names},
    }
    arrays = [encode_npy(np.asarray(array, np.float32)) for array in (attribution, seen)]
    return np.asarray(Image.open(io.BytesIO(draw(picture, meta, arrays, Look()))).convert("RGB"), int)


def strong(picture: NDArray[np.int_], channel: int) -> NDArray[np.bool_]:
    """Where a colour stands clear of the two others."""
    others = [c for c in range(3) if c != channel]
    found = picture[..., channel] - picture[..., others].max(axis=-1) > 60
    found[:, -110:] = False  # the colour bar
    return np.asarray(found)


@pytest.mark.parametrize(
    ("axes", "suited"),
    [
        (("feature",), "bars"),
        (("time",), "series"),
        (("channel", "time"), "series"),
        (("Time", "Channel"), "series"),
        (("token", "channel"), "tokens"),
        (("channel", "height", "width"), "map"),
        (("depth", "height", "width"), "slices"),
        (("channel", "frame", "height", "width"), "slices"),
        (("frame", "channel", "height", "width"), "slices"),
        (("channel", "depth", "height", "width"), "slices"),
        (("query", "key"), "map"),
    ],
)
def test_axes_choose_the_drawing(axes: tuple[str, ...], suited: str) -> None:
    assert Layout.of({"layout": {"axes": axes, "names": ()}}).suited(len(axes)) == suited


def test_without_axes_an_attribution_is_drawn_as_ever() -> None:
    assert [Layout().suited(n) for n in (0, 1, 2, 3, 4)] == ["bars", "bars", "map", "map", "map"]


def test_one_channel_of_another_rank_than_the_input_is_a_map() -> None:
    assert drawn(np.ones((1, 4, 4)), np.ones((2, 3, 4, 4)), ("channel", "frame", "height", "width")).shape[2] == 3


@pytest.mark.parametrize("axes", [("channel", "time"), ("time", "channel")])
def test_a_line_is_coloured_at_the_step_and_channel_that_count(axes: tuple[str, ...]) -> None:
    attribution, seen = np.zeros((2, 50)), np.stack([np.linspace(0, 1, 50)] * 2)
    attribution[0, 40], attribution[1, 5] = 2, -2
    if axes[0] == "time":
        attribution, seen = attribution.T, seen.T
    picture = drawn(attribution, seen, axes)
    red, blue = (np.argwhere(strong(picture, colour)).mean(axis=0) for colour in (RED, BLUE))
    assert red[1] > blue[1] + 300  # later
    assert red[0] < blue[0]  # the first channel is above


def test_an_attribution_of_one_channel_colours_all_lines() -> None:
    attribution = np.zeros((1, 50))
    attribution[0, 25] = 1
    picture = drawn(attribution, np.random.default_rng(0).normal(size=(3, 50)), ("channel", "time"))
    assert len(np.unique(np.argwhere(strong(picture, RED))[:, 0] // 160)) >= 3


def test_more_channels_than_there_is_room_for_leave_the_strongest() -> None:
    attribution = np.zeros((40, 20))
    attribution[33, 10] = -1
    assert strong(drawn(attribution, np.ones((40, 20)), ("channel", "time")), BLUE).any()


def test_a_token_has_the_colour_of_its_sum() -> None:
    attribution = np.zeros((5, 4))
    attribution[1] = [3, -1, 0, 0]
    attribution[4] = -0.5
    picture = drawn(attribution, attribution, ("token", "channel"), ("so", "very", "good", "a", "film"))
    red, blue = (np.argwhere(strong(picture, colour)).mean(axis=0) for colour in (RED, BLUE))
    assert red[1] < blue[1]


def test_tokens_that_are_ids_are_named_by_them_and_break_into_lines() -> None:
    few = drawn(np.ones(5), np.arange(5), ("token",))
    many = drawn(np.ones(200), np.arange(200), ("token",))
    assert many.shape[0] > 4 * 52 + few.shape[0]


@pytest.mark.parametrize("axes", [("channel", "frame", "height", "width"), ("frame", "channel", "height", "width")])
def test_frames_are_drawn_on_one_scale_in_their_order(axes: tuple[str, ...]) -> None:
    attribution = np.zeros((1, 4, 8, 8))
    attribution[0, 0, 4, 4], attribution[0, 3, 4, 4] = 1, -1
    if axes[0] == "frame":
        attribution = np.moveaxis(attribution, 1, 0)
    picture = drawn(attribution, attribution, axes)
    red, blue = (np.argwhere(strong(picture, colour)).mean(axis=0) for colour in (RED, BLUE))
    assert red[1] < blue[1]
    assert abs(red[0] - blue[0]) < 3


def test_shares_sum_to_one_and_are_of_magnitudes_where_signs_cancel() -> None:
    values = np.zeros((3, 2, 2))
    values[0, 0, 0], values[2, 1, 1] = 3, 1
    assert shares(values).tolist() == [0.75, 0, 0.25]
    values[2, 1, 1] = -3
    assert shares(values).tolist() == [0.5, 0, 0.5]
    assert shares(np.zeros((2, 2, 2))).tolist() == [0, 0]


def test_a_row_has_the_names_of_its_features() -> None:
    named = drawn([1, -2], [0, 0], ("feature",), ("age", "income"))
    assert not np.array_equal(named, drawn([1, -2], [0, 0], ("feature",)))


def test_an_edge_is_around_a_region_and_not_inside_it() -> None:
    inside = np.zeros((40, 40), bool)
    inside[10:30, 10:30] = True
    line = edge(inside)
    assert line[10, 10:30].all()
    assert not line[14:26, 14:26].any()
    assert not line[~inside].any()


def test_outlines_have_the_colour_of_the_sign() -> None:
    attribution = np.zeros((1, 20, 20))
    attribution[0, 2:8, 2:8], attribution[0, 12:18, 12:18] = 1, -1
    picture = drawn(attribution, np.full((1, 20, 20), 0.5), (), picture="outlines")
    red, blue = (np.argwhere(strong(picture, colour)).mean(axis=0) for colour in (RED, BLUE))
    assert red.sum() < blue.sum()
