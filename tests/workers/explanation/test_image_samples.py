"""A picture is the same at every depth, photometric and byte order that is read; the rest is refused in a sentence.

The oracle is the picture in floats, rounded to the file's depth: what is read lies within half a level of 255 of it,
where Pillow's own arithmetic of 8 bits takes part within one and a half.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.workers.explanation.image_reading import HALF, HEIGHT, PILLOWS, WIDTH, assert_read, floats, read
from tests.workers.explanation.picture_files import Order, encoded, levels, packed, png, tiff
from workers.explanation.errors import InvalidImage
from workers.explanation.images.decoding import inspect

ORDERS: tuple[Order, ...] = ("<", ">")


def on_white(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(colours * alpha + 1 - alpha)


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize(
    ("bits", "orders"), [(1, "<>"), (2, "<>"), (4, "<>"), (8, "<>"), (12, "<"), (16, "<>"), (32, "<")]
)
def test_grey_tiffs_of_every_depth(bits: int, orders: str, deflated: bool, tile: int | None) -> None:
    values = levels(floats(), bits)
    for order in ORDERS:
        if order in orders:
            data = tiff(values, bits, order=order, deflated=deflated, tile=tile)
            assert_read(data, values / (2**bits - 1))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_white_may_be_zero(bits: int) -> None:
    values = levels(floats(), bits)
    data = tiff(2**bits - 1 - values, bits, photometric=0)
    assert_read(data, values / (2**bits - 1))


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("photometric", [0, 1])
def test_floats_reach_from_black_to_white(photometric: int, order: Order, deflated: bool) -> None:
    picture = floats()
    given = picture if photometric else 1 - picture
    assert_read(tiff(given, 32, kind="f", photometric=photometric, order=order, deflated=deflated), picture)


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize(("bits", "kind", "low", "high"), [
    (8, "u", 30, 200), (4, "u", 3, 12), (12, "u", 100, 3000), (16, "u", 1000, 4095), (8, "i", -100, 90),
    (16, "i", -32768, 32767), (16, "i", 0, 4095), (32, "i", -(2**30), 2**29), (32, "f", -3.0, 7.0), (32, "u", 0, 2**31),
])  # fmt: skip
def test_what_the_file_says_of_its_samples_is_black_and_white(
    bits: int, kind: str, low: float, high: float, deflated: bool
) -> None:
    values = floats() * (high - low) + low
    values = values if kind == "f" else np.round(values)
    tags = {340: (12, [float(low)]), 341: (12, [float(high)])}
    for order in ORDERS if kind != "u" or bits in (4, 8, 16) else ("<",):
        data = tiff(values, bits, kind=kind, tags=tags, deflated=deflated, order=order)
        assert_read(data, (values - low) / (high - low))
    if kind == "u" and bits in (4, 8, 16):
        inverted = tiff(values, bits, photometric=0, tags=tags, deflated=deflated)
        assert_read(inverted, 1 - (values - low) / (high - low))


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_signed_samples_need_a_word_on_what_is_black(bits: int) -> None:
    for reader in (read, inspect):  # before it is queued, too
        with pytest.raises(InvalidImage, match="SMinSampleValue and SMaxSampleValue, or save them unsigned"):
            reader(tiff(np.zeros((HEIGHT, WIDTH)), bits, kind="i"))


@pytest.mark.parametrize("value", [1.5, -0.5, 255.0, np.nan, np.inf])
def test_floats_beyond_black_and_white_are_not_guessed_at(value: float) -> None:
    with pytest.raises(InvalidImage, match=r"floats beyond 0 \(black\) and 1 \(white\), or not finite"):
        read(tiff(np.full((HEIGHT, WIDTH), value), 32, kind="f"))


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("apart", [False, True])
def test_colours_of_a_tiff(bits: int, deflated: bool, apart: bool) -> None:
    values = levels(floats(3), bits)
    for order in ORDERS:
        data = tiff(values, bits, photometric=2, order=order, deflated=deflated, apart=apart)
        if apart and bits == 16:
            with pytest.raises(InvalidImage, match="channels lie apart"):
                read(data)
        else:
            assert_read(data, values / (2**bits - 1))


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("premultiplied", [False, True])
def test_alpha_of_a_tiff_lies_on_white(premultiplied: bool, bits: int, deflated: bool) -> None:
    picture = floats(4)
    colours, alpha = picture[..., :3], picture[..., 3:]
    values = levels(np.concatenate((colours * alpha if premultiplied else colours, alpha), 2), bits)
    data = tiff(values, bits, photometric=2, deflated=deflated, tags={338: (3, [1 if premultiplied else 2])})
    shown, opaque = np.split(values / (2**bits - 1), [3], 2)
    assert_read(data, shown + 1 - opaque if premultiplied else on_white(shown, opaque), PILLOWS)


@pytest.mark.parametrize("bits", [8, 16])
def test_inks_of_a_tiff(bits: int) -> None:
    values = levels(floats(4), bits)
    inks, black = values[..., :3] / (2**bits - 1), values[..., 3:] / (2**bits - 1)
    assert_read(tiff(values, bits, photometric=5), (1 - inks) * (1 - black), 2.01 / 255)


def test_a_palette_of_a_tiff_has_16_bits_or_is_taken_for_bytes() -> None:
    values, colours = levels(floats(), 8), np.random.default_rng(1).integers(1, 256, (256, 3))
    for step in (257, 1):
        table = [int(one) * step for one in colours.T.ravel()]
        assert_read(tiff(values, 8, photometric=3, tags={320: (3, table)}), colours[values] / 255)


@pytest.mark.parametrize(("data", "match"), [
    (tiff(levels(floats(), 16), 64, kind="f"), "of a kind that is not read: read are grey"),
    (tiff(levels(floats(), 8), 8, photometric=0, tags={340: (12, [9.0])}), "not one lower and one higher number"),
    (tiff(levels(floats(3), 8), 8, photometric=6), "uncompressed TIFF in YCbCr"),
    (tiff(levels(floats(), 8), 8)[:400], "a TIFF that is damaged"),
    (tiff(levels(floats(), 8), 8, deflated=True).replace(b"x\x9c", b"\0\0"), "cut off or damaged"),
])  # fmt: skip
def test_tiffs_that_are_refused(data: bytes, match: str) -> None:
    with pytest.raises(InvalidImage, match=match):
        read(data)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_pngs_and_their_transparent_colour(bits: int) -> None:
    values = levels(floats(), bits)
    values[3, 4], values[5, 6] = 1, 0
    clear = (b"tRNS", struct.pack(">H", 1))
    assert_read(png(values, bits, 0), values / (2**bits - 1))
    assert_read(png(values, bits, 0, clear), np.where(values == 1, 1, values / (2**bits - 1)))


@pytest.mark.parametrize("bits", [8, 16])
def test_colour_pngs_and_their_transparent_colour(bits: int) -> None:
    values = levels(floats(3), bits)
    values[3, 4], values[5, 6] = (7, 8, 9), (7, 8, 9 + (256 if bits == 16 else 1))  # differ in one byte alone
    picture = values / (2**bits - 1)
    assert_read(png(values, bits, 2), picture)
    picture[3, 4] = 1
    assert_read(png(values, bits, 2, (b"tRNS", struct.pack(">HHH", 7, 8, 9))), picture)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("colour", "channels"), [(4, 2), (6, 4)])
def test_alpha_of_a_png_lies_on_white(colour: int, channels: int, bits: int) -> None:
    values = levels(floats(channels), bits)
    picture = values / (2**bits - 1)
    wanted = on_white(picture[..., :-1], picture[..., -1:])
    assert_read(png(values, bits, colour), wanted, HALF if bits == 16 else PILLOWS)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_a_png_and_their_alpha(bits: int) -> None:
    rng, values = np.random.default_rng(1), levels(floats(), bits)
    colours, alpha = rng.integers(0, 256, (2**bits, 3)), rng.integers(0, 256, 2**bits)
    chunks = ((b"PLTE", colours.astype(np.uint8).tobytes()), (b"tRNS", alpha.astype(np.uint8).tobytes()))
    assert_read(png(values, bits, 3, chunks[0]), colours[values] / 255)
    assert_read(png(values, bits, 3, *chunks), on_white(colours[values] / 255, alpha[values][..., None] / 255), PILLOWS)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 65535), st.sampled_from([5, 6, 2, 3]))
def test_a_pnm_reaches_to_its_own_maximum(most: int, kind: int) -> None:
    values = np.round(floats(3 if kind in (3, 6) else None) * most).astype(np.int64)
    head = f"P{kind} # white is {most}\n{WIDTH} {HEIGHT} {most}\n".encode()
    plain = " ".join(str(one) for one in values.ravel()).encode()
    body = packed(values, 8 if most < 256 else 16, ">") if kind > 3 else plain
    assert_read(head + body, values / most)


def test_bits_and_floats_of_pnm() -> None:
    bits, picture = levels(floats(), 1), floats()
    assert_read(b"P4 %d %d\n" % (WIDTH, HEIGHT) + packed(bits, 1, ">"), 1 - bits)
    head = b"Pf\n%d %d\n-2.0\n" % (WIDTH, HEIGHT)
    assert_read(head + (picture[::-1] / 2).astype("<f4").tobytes(), picture)


def test_a_jpeg_in_cmyk_says_that_it_is_inverted() -> None:
    data = encoded(Image.new("CMYK", (WIDTH, HEIGHT), (0, 200, 255, 10)), "JPEG", quality=100)
    assert_read(data, np.broadcast_to([245 / 255, 53 / 255, 0.0], (HEIGHT, WIDTH, 3)), 4 / 255)
    at = data.index(b"\xff\xee")
    with pytest.raises(InvalidImage, match="does not say whether it is inverted"):
        read(data[:at] + data[at + 16 :])
