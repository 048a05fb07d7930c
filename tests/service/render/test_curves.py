"""Scores as pictures and tables: what is drawn is what was measured, with its names and scale."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.render.plots.axes import Axis
from service.render.plots.lines import HEIGHT, LINES, WIDTH
from service.render.plots.scores import csv as as_csv
from service.render.plots.scores import labels, png

NAMES = ["gradient", "lrp composite=zero"]


def meta(**info: Any) -> dict[str, Any]:
    told = {"methods": [{"label": name, "score": 0.5} for name in NAMES], "better": "lower", "measure": "area", **info}
    return {"method": {"name": "pixel_flipping"}, "model": {"name": "digits"}, "target": {"index": 1}, "info": told}


def f32(values: object) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def drawn(png_bytes: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png_bytes)).convert("RGB"))


def near(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (np.abs(picture.astype(int) - colour).max(2)) < 40
    return found


def table(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode())))


CURVES = {"scores": f32([0.5, 0.1]), "curves": f32([[1, 0.5, 0], [1, 1, 0.2]]), "at": f32([0, 1, 2])}


def test_each_curve_is_drawn_in_a_colour_of_its_own_where_its_values_are() -> None:
    picture = drawn(png(meta(axes={"x": "patches", "y": "p"}), CURVES))
    for i, curve in enumerate(CURVES["curves"]):
        rows, columns = np.nonzero(near(picture, LINES[i]))
        left = columns.min()
        inside = columns < left + WIDTH
        top, bottom = rows[inside].min(), rows[inside].max()
        height = (bottom - top) / (HEIGHT - 1)
        assert height == pytest.approx(float(curve.max() - curve.min()), abs=0.02)


def test_dashes_tell_the_eighth_method_from_the_first() -> None:
    many = {"scores": np.zeros(9, np.float32), "curves": np.ones((9, 3), np.float32), "at": f32([0, 1, 2])}
    many["curves"][7] = 0.5
    info = {"methods": [{"label": f"m{i}"} for i in range(9)]}
    row = near(drawn(png(meta(**info), many)), LINES[0])
    inside = row[:, :WIDTH].sum(1)
    dashed = inside[(inside > WIDTH * 0.3) & (inside < WIDTH * 0.8)]
    assert len(dashed) >= 1


def test_without_curves_there_is_a_bar_for_each() -> None:
    arrays = {"scores": f32([2, -1]), "standard_error": f32([0.1, 0.2])}
    picture = drawn(png(meta(), arrays))
    blue = near(picture, LINES[0])
    widths = [int(part.sum(1).max()) for part in np.array_split(blue, 2)]
    rows = np.nonzero(blue.any(1))[0]
    assert rows.max() - rows.min() < 48
    assert max(widths) > 300


def test_all_pairs_are_a_table_of_colours() -> None:
    arrays = {"scores": f32([0, 0]), "matrix": f32([[1, -1], [-1, 1]])}
    picture = drawn(png(meta(), arrays))
    red, blue = near(picture, (147, 6, 15)).sum(), near(picture, (16, 67, 168)).sum()
    assert red > 5000
    assert abs(int(red) - int(blue)) < 0.2 * red


def test_curves_as_a_table() -> None:
    rows = table(as_csv(meta(axes={"x": "patches"}), CURVES))
    assert rows[0] == ["patches", *NAMES]
    np.testing.assert_array_equal(f32([[float(v) for v in row] for row in rows[1:]])[:, 1:].T, CURVES["curves"])
    assert [row[0] for row in rows[1:]] == ["0.0", "1.0", "2.0"]


def test_scores_as_a_table_with_all_that_there_is_one_of_for_each() -> None:
    arrays = {"scores": f32([0.1, 2]), "standard_error": f32([0, 1]), "by_item": f32([[1, 2, 3], [4, 5, 6]])}
    assert table(as_csv(meta(), arrays)) == [
        ["method", "scores", "standard_error"], ["gradient", "0.1", "0.0"], ["lrp composite=zero", "2.0", "1.0"],
    ]  # fmt: skip


def test_pairs_as_a_table() -> None:
    rows = table(as_csv(meta(), {"scores": f32([0, 0]), "matrix": f32([[1, 0.5], [0.5, 1]])}))
    assert rows == [["method", *NAMES], [NAMES[0], "1.0", "0.5"], [NAMES[1], "0.5", "1.0"]]


def test_other_scores_are_named_by_layer_or_place() -> None:
    bare: dict[str, Any] = {"method": {"name": "signal_quality"}, "model": {"name": "m"}}
    layered = {**bare, "info": {"layers": [{"layer": "conv1"}, {"layer": "conv2"}]}}
    arrays = {"scores": f32([0.5, 0.25])}
    assert labels(layered, arrays) == ["conv1", "conv2"]
    assert labels(bare, arrays) == ["[0]", "[1]"]
    assert drawn(png(bare, arrays)).size
    assert table(as_csv(layered, arrays))[1] == ["conv1", "0.5"]


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.3, 0.9, [-0.2, 0, 0.2, 0.4, 0.6, 0.8]),
        (0, 1e-7, [0, 2e-8, 4e-8, 6e-8, 8e-8, 1e-7]),
        (0, 49, [0, 10, 20, 30, 40]),
    ],
)
def test_axes_are_marked_at_round_numbers(low: float, high: float, marks: list[float]) -> None:
    assert Axis.over(low, high).marks() == pytest.approx(marks)


def test_axes_end_at_marks_and_know_logarithms() -> None:
    rounded = Axis.over(0, 0.93).rounded()
    assert (rounded.low, rounded.high) == pytest.approx((0, 1))
    log = Axis.over(1, 627, log=True)
    assert log.marks() == pytest.approx([1, 2, 5, 10, 20, 50, 100, 200, 500])
    assert log.share(1) == 0
    assert log.share(627) == pytest.approx(1)
    assert Axis.over(1, 4).marks(whole=True) == [1, 2, 3, 4]
    assert Axis.over(3, 3).share(3) == pytest.approx(0.5)
