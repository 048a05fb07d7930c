"""What a colour must say: where zero is, which sign, how much; to every eye."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.render.colormaps import Colormap, colours, grays

ALL: tuple[Colormap, ...] = ("blue_red", "purple_green", "heat")


def f32(values: object) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def lightness(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L* of sRGB pixels."""
    linear = np.where((part := pixels / 255.0) <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.asarray(116 * np.cbrt(np.maximum(luminance, 0.008856)) - 16)


def ramp(name: Colormap, sign: int) -> NDArray[np.uint8]:
    return colours((sign * np.linspace(0, 1, 101)).astype(np.float32), name)


@pytest.mark.parametrize("name", ALL)
def test_zero_is_white(name: Colormap) -> None:
    assert colours(np.zeros(1, np.float32), name).tolist() == [[255, 255, 255]]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("sign", [1, -1])
def test_more_is_darker_by_even_steps(name: Colormap, sign: int) -> None:
    steps = np.diff(lightness(ramp(name, sign))[::10])
    assert (steps < -2).all()
    assert steps.min() / steps.max() < 2


@pytest.mark.parametrize("name", ["blue_red", "purple_green"])
def test_the_two_signs_are_as_dark_but_of_other_colours(name: Colormap) -> None:
    positive, negative = ramp(name, 1), ramp(name, -1)
    assert np.abs(lightness(positive) - lightness(negative)).max() < 8
    assert np.abs(positive[50:].astype(int) - negative[50:]).sum(axis=1).min() > 80


@pytest.mark.parametrize("name", ["blue_red", "purple_green"])
def test_who_sees_no_red_or_no_green_still_sees_the_sign(name: Colormap) -> None:
    """Blue against yellow is what protanopes and deuteranopes keep: the two ends differ along it."""
    positive, negative = (ramp(name, sign)[40:].astype(int) for sign in (1, -1))
    blueness = [side[:, 2] - side[:, :2].mean(axis=1) for side in (positive, negative)]
    assert (blueness[1] - blueness[0]).min() > 40


def test_values_beyond_the_scale_take_its_end() -> None:
    assert np.array_equal(colours(f32([5, -5]), "blue_red"), colours(f32([1, -1]), "blue_red"))


def test_a_signed_grey_has_its_zero_in_the_middle_and_an_unsigned_one_in_white() -> None:
    assert grays(f32([-1, 0, 1]), signed=True)[:, 0].tolist() == [0, 128, 255]
    assert grays(f32([0, 1]), signed=False)[:, 0].tolist() == [255, 0]
