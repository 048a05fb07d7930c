"""Strip by strip, a picture is fitted as Pillow fits a whole one, and no second whole one is made on the way."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.workers.explanation.picture_files import encoded
from workers.explanation.card import ImageSpec
from workers.explanation.errors import InputTooLarge, InvalidImage
from workers.explanation.images import fitting
from workers.explanation.images.decoding import inspect, prepare
from workers.explanation.images.fitting import RESAMPLING, fit_of

STATUS = Path("/proc/self/status")
COLOURS = ImageSpec(mean=(0, 0, 0), std=(1, 1, 1))
METHODS = st.sampled_from(sorted(RESAMPLING))
SIDES = st.integers(2, 90)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, exif=exif)


def resized(image: Image.Image, width: int, height: int, method: str) -> Image.Image:
    """Along the rows first, as Pillow did before version 13 and now does where it costs less."""
    return image.resize((width, image.height), RESAMPLING[method]).resize((width, height), RESAMPLING[method])


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, METHODS, st.integers(1, 8), st.sampled_from([1, 90, 2**16]))
def test_strips_give_what_the_whole_gives(
    width: int, height: int, wide: int, high: int, method: str, orientation: int, strip: int
) -> None:
    image = noise(width, height)
    data = turned(image, orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    spec = COLOURS.model_copy(update={"resize": (high, wide), "interpolation": method})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "STRIP", strip)
        _, shown = prepare(data, spec, (3, high, wide))
    np.testing.assert_array_equal(shown, np.asarray(resized(upright, wide, high, method)))


@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, st.integers(2, 60), st.sampled_from(["bilinear", "bicubic", "lanczos"]), st.integers(1, 900))
def test_pieces_of_what_is_too_tall_give_the_whole_to_one_level(
    width: int, height: int, side: int, method: str, band: int
) -> None:
    image, crop = noise(width, height), side // 2
    spec = COLOURS.model_copy(update={"resize": side, "crop": crop, "interpolation": method})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "BAND", band)
        _, shown = prepare(encoded(image), spec, (3, crop, crop))
    wide, high = (side * one // min(image.size) for one in image.size)
    left, top = (round((one - crop) / 2) for one in (wide, high))
    whole = np.asarray(resized(image, wide, high, method))[top : top + crop, left : left + crop]
    assert np.abs(shown.astype(int) - whole).max() <= 1


def test_the_shorter_side_is_resized_and_the_centre_kept() -> None:
    """What torchvision's Resize(36) and CenterCrop(32) do on a Pillow image, written out."""
    image = noise(70, 41)
    spec = ImageSpec(resize=36, crop=32, mean=(0, 0, 0), std=(1, 1, 1))
    expected = np.asarray(image.resize((61, 36), Image.Resampling.BILINEAR))[2:34, 14:46]
    np.testing.assert_array_equal(prepare(encoded(image), spec, (3, 32, 32))[1], expected)


def test_nearest_makes_no_new_colour() -> None:
    image = noise(70, 41)
    spec = ImageSpec(resize=(10, 20), interpolation="nearest", mean=(0, 0, 0), std=(1, 1, 1))
    found = prepare(encoded(image), spec, (3, 10, 20))[1]
    assert {tuple(c) for c in found.reshape(-1, 3)} <= {tuple(c) for c in np.asarray(image).reshape(-1, 3)}


def test_what_is_much_longer_than_wide_is_not_resized() -> None:
    assert fit_of((100, 100_000), ImageSpec(resize=(28, 28))).resized == (28, 28)
    with pytest.raises(InvalidImage, match="too thin to be resized"):
        fit_of((100, 100_001), ImageSpec(resize=(28, 28)))
    assert fit_of((1, 100_000), ImageSpec()).resized == (1, 100_000)


@pytest.mark.parametrize(("options", "format_", "allowed"), [
    ({"lossless": True}, "WEBP", 400 * 4 / 18), ({"progressive": True, "subsampling": 0}, "JPEG", 400 * 4 / 10),
    ({"progressive": True, "subsampling": 2}, "JPEG", 400 * 4 / 7), ({}, "JPEG", 400), ({}, "PNG", 400),
])  # fmt: skip
def test_what_is_costly_to_decode_may_have_fewer_pixels(
    options: dict[str, object], format_: str, allowed: float
) -> None:
    side = int(allowed**0.5)
    assert inspect(encoded(noise(side, side), format_, **options), 400).width == side
    with pytest.raises(InputTooLarge, match=f"more than the {int(allowed)} pixels"):
        inspect(encoded(noise(side + 1, side + 1), format_, **options), 400)


MEASURED = """
import io, json, sys
import numpy as np
from PIL import Image
from workers.explanation.card import ImageSpec
from workers.explanation.images.decoding import prepare

def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) * 1024

def decode(image, **options):
    out = io.BytesIO()
    image.save(out, options.pop("format", "PNG"), compress_level=1, **options)
    image.close()
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    prepare(out.getvalue(), ImageSpec(resize=(32, 32), mean=(0, 0, 0), std=(1, 1, 1)), (3, 32, 32))
    return peak() - before

side = 3000
Image.init()
decode(Image.new("L", (8, 8)))
print(json.dumps({
    "palette": [decode(Image.new("P", (side, side)), transparency=0), side * side],
    "deep": [decode(Image.fromarray(np.zeros((side, side), np.uint16))), 2 * side * side],
    "alpha": [decode(Image.new("RGBA", (side, side))), 4 * side * side],
    "inks": [decode(Image.new("CMYK", (side, side)), format="JPEG"), 4 * side * side],
}))
"""


@pytest.mark.skipif(not STATUS.exists(), reason="peak memory is read from /proc, which Linux has")
def test_no_second_whole_picture_is_made() -> None:
    """Beside the decoded picture there are strips, bands and the tensor: a few MiB, whatever the picture's size."""
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    for kind, (grown, decoded) in json.loads(done.stdout).items():
        assert grown < decoded + 12 * 2**20, kind
