"""The seeds' figures: each has its outcome; what was tried has a page and a module; the table is that of the list."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from reproductions.__main__ import line, run
from reproductions.figures import FIGURES, Figure, table
from reproductions.toy import drawn, rho
from tests.tree import ROOT

HERE = ROOT / "reproductions"


@pytest.mark.parametrize("one", FIGURES, ids=lambda one: one.name)
def test_what_was_tried_has_a_page_and_what_was_not_says_what_it_needs(one: Figure) -> None:
    assert bool(one.page) == bool(one.command)
    assert one.page or one.verdict in ("not tried", "not comparable")
    assert not one.page or (HERE / one.page).is_file()
    assert not one.command or importlib.util.find_spec(one.command[0]) is not None
    assert one.why


def test_every_page_is_of_a_figure() -> None:
    assert {path.name for path in HERE.glob("*.md")} - {"README.md"} == {one.page for one in FIGURES if one.page}


def test_the_table_is_that_of_the_list() -> None:
    assert table() in (HERE / "README.md").read_text()


def test_data_that_are_not_there_are_named(tmp_path: Path) -> None:
    said = run(("reproductions.shift", "{shared}/data/mnist.npz"), tmp_path)
    assert said == f"not run: {tmp_path}/data/mnist.npz is not there"


def test_a_figure_tells_how_it_came_out() -> None:
    one = next(figure for figure in FIGURES if figure.command)
    assert "(ran, 3 s)" in line(one, {one.command: "ran, 3 s"})


def test_a_residual_of_one_direction_has_the_correlation_of_that_direction() -> None:
    """Of S_w both numbers of the residual are y/2 + e: their covariance is singular, but for rounding."""
    x, y = drawn(200_000, 0)
    estimate = torch.stack([y / 2, -y / 2], 1)
    wanted = 1 - np.corrcoef((x - estimate)[:, 0], y)[0, 1]
    assert rho(x, estimate, y) == pytest.approx(wanted, rel=1e-6)
