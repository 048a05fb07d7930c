"""Any image that Pillow reads becomes the right tensor, and bytes that are none become one clear error."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from workers.explanation.card import ImageSpec
from workers.explanation.errors import InputTooLarge, InvalidImage
from workers.explanation.images.decoding import inspect, normalised, prepare, unprepare

RGB = ImageSpec(mean=(0, 0, 0), std=(1, 1, 1))
GRAY = ImageSpec(mode="L")
SMALL = (3, 4, 6)


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def colours(height: int = 4, width: int = 6) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture(data: bytes, spec: ImageSpec = RGB, shape: tuple[int, ...] = SMALL) -> NDArray[np.uint8]:
    return prepare(data, spec, shape)[1]


def test_a_tensor_is_the_pixels_after_scale_mean_and_std() -> None:
    pixels = colours()
    spec = ImageSpec(scale=2.0, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    tensor, shown = prepare(encoded(Image.fromarray(pixels)), spec, SMALL)
    expected = (pixels / 255 * 2.0 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 2.0]
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor, expected.transpose(2, 0, 1), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(shown, pixels)


def test_bgr_swaps_the_channels_of_the_tensor_alone() -> None:
    pixels = colours()
    spec = ImageSpec(mode="BGR", scale=255.0, mean=(104, 117, 123), std=(1, 1, 1))
    tensor, shown = prepare(encoded(Image.fromarray(pixels)), spec, SMALL)
    np.testing.assert_array_equal(tensor[0], pixels[..., 2].astype(np.float32) - 104)
    np.testing.assert_array_equal(tensor[2], pixels[..., 0].astype(np.float32) - 123)
    np.testing.assert_array_equal(shown, pixels)


def test_gray_models_get_one_channel_and_a_gray_picture() -> None:
    pixels = colours()[..., 0]
    tensor, shown = prepare(encoded(Image.fromarray(pixels)), GRAY, (1, 4, 6))
    np.testing.assert_allclose(tensor[0], pixels / 255, rtol=1e-6)
    np.testing.assert_array_equal(shown, np.repeat(pixels[..., None], 3, 2))


def test_one_bit_images_are_black_and_white() -> None:
    bits = colours()[..., 0] > 127
    np.testing.assert_array_equal(picture(encoded(Image.fromarray(bits)))[..., 1], bits * 255)


def test_palettes_with_transparency_lie_on_white() -> None:
    image = Image.new("P", (6, 4), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((2, 1), 1)
    shown = picture(encoded(image, transparency=0))
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[1, 2].tolist() == [200, 0, 0]


@pytest.mark.parametrize(("mode", "colour", "expected"), [
    ("RGBA", (0, 0, 0, 0), 255), ("RGBA", (100, 100, 100, 255), 100), ("RGBA", (0, 0, 0, 128), 127),
    ("LA", (40, 255), 40), ("LA", (40, 0), 255),
])  # fmt: skip
def test_alpha_lies_on_white(mode: str, colour: tuple[int, ...], expected: int) -> None:
    assert picture(encoded(Image.new(mode, (6, 4), colour)))[2, 2].tolist() == [expected] * 3


def test_a_transparent_colour_lies_on_white() -> None:
    image = Image.new("RGB", (6, 4), (9, 8, 7))
    image.putpixel((0, 0), (1, 2, 3))
    shown = picture(encoded(image, transparency=(9, 8, 7)))
    assert (shown[1, 1].tolist(), shown[0, 0].tolist()) == ([255] * 3, [1, 2, 3])


def lab(image: Image.Image) -> Image.Image:
    srgb, cie = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(image, srgb, cie, outputMode="LAB")
    assert converted is not None
    return converted


@pytest.mark.parametrize(("format_", "mode"), [("JPEG", "CMYK"), ("TIFF", "CMYK"), ("TIFF", "YCbCr"), ("TIFF", "LAB")])
def test_print_and_video_colours_become_rgb(format_: str, mode: str) -> None:
    red = Image.new("RGB", (16, 16), (220, 40, 60))
    image = lab(red) if mode == "LAB" else red.convert(mode)
    shown = picture(encoded(image, format_), shape=(3, 16, 16))
    assert np.abs(shown[8, 8].astype(int) - [220, 40, 60]).max() < 12


def test_sixteen_bit_png_is_scaled() -> None:
    data = encoded(Image.fromarray(np.full((4, 6), 25700, np.uint16)))
    assert picture(data, GRAY, (1, 4, 6))[0, 0].tolist() == [100, 100, 100]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.fromarray(np.repeat(np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)[..., None], 3, 2))
    stored = {
        1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4,
    }[orientation]  # the transposition that undoes each orientation: Image.Transpose by number  # fmt: skip
    image = upright if stored is None else upright.transpose(Image.Transpose(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(picture(encoded(image, exif=exif)), np.asarray(upright))


def test_a_broken_exif_block_does_not_matter() -> None:
    pixels = colours(16, 16)
    data = encoded(Image.fromarray(pixels), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff")
    np.testing.assert_array_equal(picture(data, shape=(3, 16, 16)), pixels)


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_give_their_first_frame(format_: str) -> None:
    first, second = Image.new("RGB", (6, 4), "red"), Image.new("RGB", (6, 4), "blue")
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = encoded(first, format_, save_all=True, append_images=[second], **options)
    assert picture(data)[0, 0].tolist() == [255, 0, 0]


def test_the_header_is_read_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (300, 200)), "JPEG")
    monkeypatch.setattr(Image.Image, "load", None)
    header = inspect(data)
    assert (header.format, header.width, header.height) == ("JPEG", 300, 200)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be that large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5001, 10_000, 30_000])
def test_bombs_are_refused_by_their_header(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(InputTooLarge, match="25000000 pixels"):
        inspect(bomb(side, side))
    with pytest.raises(InputTooLarge):
        prepare(bomb(side, side), RGB, SMALL)


def test_the_pixel_limit_is_the_callers() -> None:
    data = encoded(Image.new("L", (10, 10)))
    assert inspect(data, max_pixels=100).width == 10
    with pytest.raises(InputTooLarge, match="more than the 99 pixels"):
        inspect(data, max_pixels=99)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", bomb(8, 8), b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_bytes_that_are_no_image_are_one_error(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="no readable image"):
        prepare(data, RGB, SMALL)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF"])
def test_truncated_images_are_refused(format_: str) -> None:
    data = encoded(Image.fromarray(colours(64, 64)), format_)
    with pytest.raises(InvalidImage):
        prepare(data[: len(data) // 2], RGB, (3, 64, 64))


DAMAGE = st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=4)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]), DAMAGE)
def test_damaged_bytes_give_an_image_or_a_clear_error(format_: str, damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(encoded(Image.fromarray(colours(16, 16)), format_))
    for place, new in damage:
        at = place % len(data)
        data[at : at + len(new)] = new
    spec = ImageSpec(resize=(8, 8), mean=(0, 0, 0), std=(1, 1, 1))
    try:
        inspect(bytes(data))
        tensor, shown = prepare(bytes(data), spec, (3, 8, 8))
    except (InvalidImage, InputTooLarge):
        return
    assert tensor.shape == (3, 8, 8)
    assert shown.shape == (8, 8, 3)


def test_a_long_thin_image_is_not_blown_up() -> None:
    with pytest.raises(InvalidImage, match="too thin"):
        prepare(encoded(Image.new("L", (60_000, 1))), ImageSpec(mode="L", resize=256, crop=224), (1, 224, 224))


def test_an_image_that_may_not_be_resized_must_fit() -> None:
    with pytest.raises(InvalidImage, match=r"has 6 x 4 pixels; the model takes 8 x 8"):
        picture(encoded(Image.fromarray(colours())), shape=(3, 8, 8))
    with pytest.raises(InvalidImage, match="smaller than the crop of 8 x 8"):
        picture(encoded(Image.fromarray(colours())), ImageSpec(crop=8), (3, 8, 8))


@pytest.mark.parametrize("spec", [
    RGB, GRAY, ImageSpec(mode="BGR", scale=255.0, mean=(104, 117, 123), std=(1, 1, 1)),
    ImageSpec(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
])  # fmt: skip
def test_unprepare_gives_the_picture_back(spec: ImageSpec) -> None:
    shape = (1 if spec.mode == "L" else 3, 4, 6)
    tensor, shown = prepare(encoded(Image.fromarray(colours())), spec, shape)
    np.testing.assert_array_equal(unprepare(tensor, spec), shown)


def test_unprepare_clips() -> None:
    values = np.array([[[-5.0, 0.5, 7.0, np.nan]]], dtype=np.float32)
    assert unprepare(values, GRAY)[0, :, 0].tolist() == [0, 128, 255, 0]


@pytest.mark.parametrize("mode", ["RGB", "BGR", "L"])
def test_every_level_becomes_its_number_in_float64_rounded_once(mode: Any) -> None:
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if mode != "L" else ((0.4,), (0.2,))
    spec = ImageSpec(mode=mode, mean=mean, std=std, scale=2.0)
    pixels = np.random.default_rng(0).permuted(np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3), axis=0)
    given = pixels if mode != "L" else pixels[..., 0]
    channels = np.atleast_3d(given).transpose(2, 0, 1)[:: -1 if mode == "BGR" else 1].astype(np.float64)
    wanted = [(one * (2.0 / 255) - m) / s for one, m, s in zip(channels, mean, std, strict=True)]
    assert np.array_equal(normalised(given, spec), np.array(wanted).astype(np.float32))
