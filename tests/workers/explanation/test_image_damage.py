"""Damaged images, images that lie turned, and what is no image."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.workers.explanation.image_reading import HALF, SPEC, assert_read, floats, read
from tests.workers.explanation.picture_files import encoded, levels, png, tiff
from workers.explanation.card import ImageSpec
from workers.explanation.errors import InvalidImage
from workers.explanation.images.decoding import prepare

DAMAGED = [
    tiff(levels(floats(), 12), 12), tiff(levels(floats(), 16), 16, photometric=0, deflated=True, tile=16),
    tiff(floats(), 32, kind="f", tags={340: (12, [0.0]), 341: (12, [2.0])}),
    tiff(levels(floats(3), 16), 16, photometric=2),
    png(levels(floats(), 4), 4, 0, (b"tRNS", b"\0\1")), png(levels(floats(4), 16), 16, 6),
    b"P5 37 21 4095\n" + bytes(2 * 37 * 21), b"P2 37 21 4095\n" + b"17 " * 37 * 21,
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_deep_files_give_a_picture_or_a_clear_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(DAMAGED))
    found = bytearray(kind)
    for at, new in data.draw(st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=3)), max_size=5)):
        place = at % len(found)
        found[place : place + len(new)] = new
    spec = ImageSpec(resize=(5, 7), mean=(0, 0, 0), std=(1, 1, 1))
    try:
        tensor, _ = prepare(bytes(found[: data.draw(st.integers(0, 2 * len(found)))]), spec, (3, 5, 7))
    except InvalidImage:
        return
    assert np.isfinite(tensor).all()


def test_orientation_of_a_tiff_is_applied_once() -> None:
    values = levels(floats(), 16)
    turned = tiff(values[::-1], 16, tags={274: (3, [4])})
    assert_read(turned, values / 65535)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_turned_upright_too(orientation: int) -> None:
    values = levels(floats(3), 16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(io.BytesIO(png(values, 16, 2, (b"eXIf", exif.tobytes()[6:])))) as image:
        assert image.getexif()[0x0112] == orientation
    steps = {1: (0, 0), 2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (1, 1), 6: (3, 0), 7: (3, 1), 8: (1, 0)}
    quarters, mirrored = steps[orientation]
    picture = np.rot90(values[:, ::-1] if mirrored else values, quarters) / 65535
    shape = (3, *picture.shape[:2])
    found = prepare(png(values, 16, 2, (b"eXIf", exif.tobytes()[6:])), SPEC, shape)[0]
    np.testing.assert_allclose(np.moveaxis(found, 0, 2), picture, rtol=0, atol=HALF)


@pytest.mark.parametrize(("data", "said"), [
    (b"", "the file is empty"), (encoded(Image.new("L", (9, 9)))[:20], "a PNG that is damaged or cut off"),
    (b"PK\3\4" + bytes(26) + b"inputs.npy", "a .npz"), (b"PK\5\6" + bytes(18), "a zip archive"),
    (pickle.dumps([1]), "a pickle"), (pickle.dumps(Image.Resampling, 0), "a pickle"),
    (gzip.compress(b"a", mtime=0), "by gzip"),
    (b"\0\0\0\x1cftypheic", "a HEIC photo"), (b"\0\0\0\x1cftypavif", "an AVIF"), (b"%PDF-1.7", "a PDF"),
    (b'<?xml version="1.0"?>\n<svg>', "an SVG"), (b"<!DOCTYPE html>", "an error page"),
    (b"P7\nWIDTH 1", "P1 to P6 and Pf"),
    (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"), (b"iVBORw0KGgoAAA", "in base64"),
    (b'{"image": ""}', "Content-Type: application/json"),
    (encoded(Image.new("L", (9, 9))).replace(b"\r\n", b"\n"), "as text"),
    (bytes(99), r"PNM are read \(99 bytes came\)"),
])  # fmt: skip
def test_what_is_no_image_is_told_what_it_is(data: bytes, said: str) -> None:
    with pytest.raises(InvalidImage, match=said):
        read(data)


def in_pieces(pieces: int) -> dict[str, bytes]:
    """Sound pictures of 8 by 8 whose metadata, or pixels, come in so many pieces."""
    grey = np.full((8, 8), 200, np.uint8)
    chunk = struct.pack(">I", 0) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    whole = png(grey, 8, 0)
    head, rest = whole[:33], whole[33:]
    jpeg = encoded(Image.fromarray(grey), "JPEG")
    return {
        "chunks before the pixels": head + chunk * pieces + rest,
        "chunks after the pixels": head + rest[:-12] + chunk * pieces + rest[-12:],
        "comments of a JPEG": jpeg[:2] + b"\xff\xfe\x00\x02" * pieces + jpeg[2:],
        "a comment of a PNM": b"P5\n#" + b"a" * pieces + b"\n8 8 255\n" + grey.tobytes(),
    }


@pytest.mark.parametrize("kind", in_pieces(1))
def test_a_picture_in_very_many_pieces_is_refused_before_they_are_all_read(kind: str) -> None:
    """Each takes a decoder time, and few bytes of the one who sends it."""
    spec = ImageSpec(mean=(0,), std=(1,))
    with pytest.raises(InvalidImage, match="more than 100000 pieces; saved anew"):
        prepare(in_pieces(400_000)[kind], spec, (3, 8, 8))
    _, shown = prepare(in_pieces(1000)[kind], spec, (3, 8, 8))
    assert shown.shape == (8, 8, 3)
    assert (np.abs(shown.astype(int) - 200) <= 1).all()
