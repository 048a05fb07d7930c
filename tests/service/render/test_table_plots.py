"""Waterfalls that end at the score, and beeswarms whose dots lie where their values are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.render.axis_kinds import Layout
from service.render.picture import draw
from service.render.plots.axes import Axis
from service.render.plots.beeswarm import NAMES, PLOT, ROW, draw_beeswarm, swarm
from service.render.plots.shades import shades
from service.render.plots.steps import MOST, steps, suits
from service.render.style import Look, Picture
from service.render.text import number
from tests.service.render.drawings import CAPTION, f32, pixels
from workers.contract import InvalidParameter, encode_npy


def said(values: NDArray[Any], total: float | None = None, **more: Any) -> dict[str, Any]:
    total = float(values.sum()) if total is None else total
    return {
        "method": {"name": "kernel_shap", "fill": "background"},
        "model": {"name": "toy"},
        "attribution": {"shape": list(values.shape)},
        "explained": {"score": 1.0, "probability": None},
        "checks": [{"name": "completeness", "expected": total, "observed": float(values.sum())}],
        **more,
    }


def test_the_steps_lead_from_the_start_to_the_score_the_strongest_first() -> None:
    found = steps(np.array([0.1, -0.5, 0.2]), ["a", "b", "c"], 1.0, 0.8)
    assert [step.name for step in found] == ["b", "c", "a"]
    assert [step.end for step in found] == pytest.approx([0.5, 0.7, 0.8])
    assert [step.start for step in found] == pytest.approx([1.0, 0.5, 0.7])


def test_what_is_weak_is_one_step_and_what_nothing_explains_another() -> None:
    values = np.linspace(1, 2, MOST + 5)
    found = steps(values, [str(at) for at in range(len(values))], 0.0, float(values.sum()) + 3)
    assert [step.name for step in found[-2:]] == ["5 others", "not attributed"]
    assert found[-2].end - found[-2].start == pytest.approx(np.sort(values)[:5].sum())
    assert found[-1].end - found[-1].start == pytest.approx(3)


@pytest.mark.parametrize(
    ("shape", "change"),
    [
        ((2, 2), {}),
        ((4,), {"checks": []}),
        ((4,), {"explained": None}),
        ((4,), {"attribution": None}),
        ((4,), {"method": {"name": "kernel_shap", "score": "probability"}}),  # of a model that tells none
    ],
)
def test_what_a_waterfall_does_not_suit_is_refused(shape: tuple[int, ...], change: dict[str, Any]) -> None:
    values = np.ones(shape, np.float32)
    meta = said(values, **change)
    assert not suits(meta)
    with pytest.raises(InvalidParameter, match="take heatmap"):
        draw("waterfall", meta, [encode_npy(values)] * 2, Look())


def test_bars_that_add_are_red_and_those_that_take_away_blue() -> None:
    values = f32([0.5, -0.5])
    picture = pixels(draw("waterfall", said(values), [encode_npy(values)] * 2, Look())).astype(int)
    red, blue = picture[..., 0] - picture[..., 2] > 60, picture[..., 2] - picture[..., 0] > 60
    assert np.argwhere(red)[:, 0].max() < np.argwhere(blue)[:, 0].min()  # of two alike the first comes first
    assert set(np.argwhere(red)[:, 1]) == set(np.argwhere(blue)[:, 1])  # there, and the same way back


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [
        (999.98, 1000.01, "999.98", "1000.01"),
        (-1e-14, 2e-14, "-1e-14", "2e-14"),
        (0, 5000, "0", "5000"),
        (-2.5e7, 0, "-2.5e+07", "0"),
        (0.5, 0.9, "0.5", "0.9"),
    ],
)
def test_the_marks_of_an_axis_are_told_from_each_other(low: float, high: float, first: str, last: str) -> None:
    axis = Axis.over(low, high).rounded()
    marks = axis.marks()
    assert (axis.written(marks[0]), axis.written(marks[-1])) == (first, last)
    assert len({axis.written(mark) for mark in marks}) == len(marks)
    assert [float(axis.written(mark)) for mark in marks] == marks


def test_a_number_is_as_short_as_it_reads() -> None:
    values = [0.1234, 12.34, 999.9, 1234.5, -99999, 1e6, 4.56e-6, 0.0, float("inf")]
    told = ["0.123", "12.3", "1000", "1234", "-99999", "1e+06", "4.56e-06", "0", "inf"]
    assert [number(value) for value in values] == told


@pytest.mark.parametrize("picture", ["waterfall", "heatmap"])
def test_a_long_name_widens_the_picture_up_to_a_bound(picture: Picture) -> None:
    def width(name: str) -> int:
        values, layout = f32([0.5, -0.5]), {"names": [name, "b"], "categories": {}, "axes": ["feature"]}
        return len(pixels(draw(picture, said(values, layout=layout), [encode_npy(values)] * 2, Look()))[0])

    short, long, longest = (width(name) for name in ("a", "the mean of the radius", "a" * 10_000))
    assert short < long or picture == "waterfall"
    assert long < longest == width("a" * 100)


def test_the_numbers_beside_a_single_bar_do_not_lie_upon_each_other() -> None:
    values = f32([-0.4])
    picture = pixels(draw("heatmap", said(values), [encode_npy(values)] * 2, Look()))
    beside = picture[:, -40:].min(axis=2) < 128
    lines = np.flatnonzero(beside.any(axis=1))
    assert lines.max() - lines.min() < 14  # one line of digits


def test_a_value_is_written_as_its_people_write_it() -> None:
    layout = Layout(names=("age", "job", "shoe"), categories={"job": ("clerk", "smith"), "shoe": (38.0, 40.0)})
    assert layout.valued(f32([39.5, 1, 40, 7])) == ["age = 39.5", "job = smith", "shoe = 40", "[3] = 7"]


def test_dots_lie_where_their_values_are() -> None:
    values, seen = f32([[-1, 0.2], [1, -0.2]]), f32([[0, 1], [1, 1]])
    picture = pixels(draw_beeswarm(values, seen, Layout(names=("a", "b")), CAPTION)).astype(int)
    plot = picture[:, 16 + NAMES : 16 + NAMES + PLOT]
    blue, red = plot[..., 2] - plot[..., 0] > 80, plot[..., 0] - plot[..., 2] > 80
    assert np.argwhere(blue)[:, 1].mean() < 20  # low, and it takes away
    assert np.argwhere(red)[:, 1].mean() > PLOT - 20
    assert np.ptp(np.argwhere(red)[:, 0]) < ROW  # of one feature alone: the other is the same in both


def test_dots_side_by_side_stay_within_their_line() -> None:
    lifts = swarm([50.0] * 400, 14.0)
    assert max(map(abs, lifts)) <= 15
    assert len(set(lifts)) > 300
    assert swarm([], 14.0) == []


def test_an_outlier_takes_no_colour_from_the_others() -> None:
    values = np.append(np.linspace(0, 1, 99), 1e6)
    inks = shades(values)
    assert inks[0] != inks[49] != inks[98]
    assert len(set(shades(np.append(np.zeros(99), 1.0)))) == 2  # where nearly all are alike
