"""What a file says of its samples: which values are black and white, which colour is transparent; or its refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PIL import ImagePalette
from PIL.ImageFile import ImageFile

from workers.explanation.images.files import rawmode, unreadable

# Tags of TIFF 6.0.
BITS, PHOTOMETRIC, FILL, PLANAR, FORMAT, SMIN, SMAX, SUBSAMPLING, REFERENCE, COLOURS = (
    258, 262, 266, 284, 339, 340, 341, 530, 532, 320,
)  # fmt: skip
SIGNED, FLOAT = 2, 3
WHITE_IS_ZERO, YCBCR = 0, 6
FULL_RANGE = (0, 255, 128, 255, 128, 255)

# libtiff hands samples over in the machine's byte order, and Pillow does not know it of these.
NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}


@dataclass(frozen=True)
class Scale:
    """`black` and `white`: their sample values; no white where Pillow's 8 bits say it all.

    `stored`: the samples' NumPy type where Pillow's differs. `inverted`: black and white change places. `clear`: the
    colour that is transparent. `paired`: two bytes of a sample are two channels. `premultiplied`: colours are
    multiplied by alpha. `bounded`: what black and white are is a convention, which values beyond them break.
    """

    black: float = 0.0
    white: float | None = None
    stored: str | None = None
    inverted: bool = False
    clear: tuple[int, ...] | None = None
    paired: bool = False
    premultiplied: bool = False
    bounded: bool = False


def scale_of(image: ImageFile) -> Scale:
    """Of an opened image, before it is loaded, which may be told to unpack otherwise; raises InvalidImage."""
    if image.format == "PNG":
        return _of_png(image)
    if image.format == "TIFF":
        return _of_tiff(image)
    if image.format == "PPM":
        return _of_pnm(image)
    if image.mode == "CMYK" and "adobe_transform" not in image.info:
        raise unreadable("a JPEG in CMYK that does not say whether it is inverted, as Adobe's are; save it in RGB")
    return Scale()


def retile(image: ImageFile, how: str, codec: str | None = None) -> None:
    """Have Pillow unpack the samples as another raw mode."""
    image.tile = [
        tile._replace(
            codec_name=codec or tile.codec_name, args=(how, *tile.args[1:]) if isinstance(tile.args, tuple) else how
        )
        for tile in image.tile
    ]


def _of_png(image: ImageFile) -> Scale:
    """A transparent colour is told in the file's own depth, of which only the low bits count (PNG 3, 11.3.2.1)."""
    how, clear = rawmode(image), image.info.get("transparency")
    if how.endswith(";16B"):
        image.info.pop("transparency", None)
        given = clear if isinstance(clear, tuple) else None if clear is None else (clear,)
        return Scale(white=65535.0, clear=given, paired=how == "LA;16B")
    if isinstance(clear, int) and image.mode == "L":
        most = {"L;2": 3, "L;4": 15}.get(how, 255)
        image.info["transparency"] = (clear & most) * (255 // most)
    elif isinstance(clear, tuple):
        image.info["transparency"] = tuple(one & 255 for one in clear)
    return Scale()


def _of_pnm(image: ImageFile) -> Scale:
    """Samples reach from 0 to the file's own maximum; unpacked as they are, for Pillow scales them one by one."""
    (tile,) = image.tile
    if image.mode == "F":
        return Scale(white=1 / image.info["scale"], bounded=True)
    if image.mode not in ("1", "L", "I", "RGB"):
        raise unreadable("a PNM of a kind that is not read: read are P1 to P6 and Pf")
    if tile.codec_name == "ppm":
        how, most = cast(tuple[str, int], tile.args)
        image.tile = [tile._replace(args=how)]
        deep = "I;16B" if how == "I" or image.mode == "I" else "RGB;16B"
        retile(image, deep if most > 255 else how, "raw")
        return Scale(white=float(most))
    return Scale(white=65535.0) if image.mode == "I" else Scale()


def _of_tiff(image: ImageFile) -> Scale:
    """By the tags; raises InvalidImage where they do not say it, or where Pillow would read other samples."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]  # only a TIFF comes here
    how, codec = rawmode(image), image.tile[0].codec_name
    bits, kind = _first(tags, BITS, 1), _first(tags, FORMAT, 1)
    photometric = tags.get(PHOTOMETRIC)
    _check_tiff(image, photometric, codec, bits)
    if codec == "libtiff" and how in NATIVE:
        retile(image, NATIVE[how])
    if image.mode == "P" and max(tags[COLOURS]) < 256:  # bytes, where TIFF 6.0 wants 16 bits
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[COLOURS]))
    if image.mode in ("1", "P", "PA", "LAB", "YCbCr") or photometric == YCBCR:
        return Scale()
    said = _said(tags)
    if kind == SIGNED and said is None:
        raise unreadable(
            "a TIFF of signed samples that does not say which are black and white; write SMinSampleValue and "
            "SMaxSampleValue, or save them unsigned"
        )
    inverted = photometric == WHITE_IS_ZERO
    if bits <= 8 and kind != SIGNED:
        return _of_bytes(said, 255 // (2**bits - 1), inverted, by_alpha=how.startswith(("RGBa", "La", "CMYK")))
    if kind == FLOAT:
        black, white = said or (0.0, 1.0)
        return Scale(black, white, None, inverted, bounded=said is None)
    stored = {(8, SIGNED): "i1", (32, 1): "u4"}.get((bits, kind))
    black, white = said or (0.0, float(2**bits - 1))
    return Scale(black, white, stored, inverted, premultiplied=how.startswith("RGBa"))


def _of_bytes(said: tuple[float, float] | None, step: int, inverted: bool, *, by_alpha: bool) -> Scale:
    """Samples of at most 8 bits, which Pillow has spread to 0..255, and inverted, already."""
    if said is None:
        return Scale()
    if by_alpha:
        raise unreadable("a TIFF with SMinSampleValue whose colours are CMYK or multiplied by alpha; save it as PNG")
    black, white = (value * step for value in said)
    return Scale(255 - black, 255 - white, inverted=True) if inverted else Scale(black, white)


def _said(tags: Any) -> tuple[float, float] | None:
    """SMinSampleValue and SMaxSampleValue; None where the file has neither."""
    if SMIN not in tags and SMAX not in tags:
        return None
    found = [np.unique(np.asarray(tags.get(tag, np.nan), np.float64)) for tag in (SMIN, SMAX)]
    if any(len(values) != 1 for values in found) or not np.isfinite(found).all() or found[0][0] >= found[1][0]:
        raise unreadable("a TIFF whose SMinSampleValue and SMaxSampleValue are not one lower and one higher number")
    return float(found[0][0]), float(found[1][0])


def _check_tiff(image: ImageFile, photometric: int | None, codec: str, bits: int) -> None:
    """Raises InvalidImage for what Pillow reads as another picture than it is."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]  # only a TIFF comes here
    if photometric is None:
        raise unreadable("a TIFF that does not say what its samples mean: PhotometricInterpretation is missing")
    apart = tags.get(PLANAR, 1) == 2 and len(image.getbands()) > 1
    if apart and (bits != 8 or tags.get(FILL, 1) != 1 or image.mode in ("LA", "La", "PA")):
        raise unreadable(
            "a TIFF whose channels lie apart (PlanarConfiguration 2) and are no colours of 8 bits; save it as PNG"
        )
    if photometric == YCBCR and codec != "libtiff":
        sampling, reference = tuple(tags.get(SUBSAMPLING, (2, 2))), tuple(tags.get(REFERENCE, FULL_RANGE))
        if sampling != (1, 1) or tuple(map(float, reference)) != FULL_RANGE:
            raise unreadable("an uncompressed TIFF in YCbCr with fewer samples of colour than pixels; save it in RGB")


def _first(tags: Any, tag: int, default: int) -> int:
    value = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)
