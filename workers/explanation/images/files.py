"""An image's file, opened: its header read, its pixels counted, and what cannot be read told in a sentence."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image
from PIL.ImageFile import ImageFile

from workers.explanation.errors import InputTooLarge, InvalidImage
from workers.explanation.file_types import describe_image_file

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
READ = "PNG, JPEG, WebP, GIF, BMP, TIFF and PNM are read"
MAX_PIXELS = 25_000_000
# Bytes of a pixel as Pillow holds it.
HELD = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
WIDEST = 4
SMALL_STRIP = 1 / 16  # of the whole picture
MOST_READS = 100_000  # of a file: chunks, segments, bytes of a comment, each of which takes a decoder time

# Pillow warns of a bomb and decodes it all the same; here the warning ends it.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class _Counted(io.BytesIO):
    """The bytes of a file, for a decoder that asks for them in so many pieces at most."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > MOST_READS:
            raise unreadable(f"it comes in more than {MOST_READS} pieces; saved anew, without its comments, it is read")
        return super().read(size)


@contextmanager
def opened(data: bytes, max_pixels: int) -> Iterator[ImageFile]:
    """The image, its header read; whatever Pillow raises on it, at any stage, becomes InvalidImage."""
    found = "no image"
    try:
        with Image.open(_Counted(data), formats=FORMATS) as image:
            found = image.format or found
            _check_pixels(image, max_pixels)
            yield image
    except (InvalidImage, InputTooLarge):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputTooLarge(
            f"the image has more than the {max_pixels} pixels that are allowed", pointer="/input"
        ) from None
    except Exception:
        if found == "no image":
            raise unreadable(describe_image_file(data) or f"{READ} ({len(data)} bytes came)") from None
        raise unreadable(f"a {found} whose header is sound and whose pixels are cut off or damaged") from None


def rawmode(image: ImageFile) -> str:
    """How Pillow will unpack the samples of an image that is not loaded yet; empty where it does not say."""
    for tile in image.tile:
        return str(tile.args[0]) if isinstance(tile.args, tuple) and tile.args else str(tile.args or "")
    return ""


def unreadable(why: str) -> InvalidImage:
    return InvalidImage(f"the bytes are no readable image: {why}", pointer="/input")


def _check_pixels(image: ImageFile, most: int) -> None:
    """Raises InputTooLarge where decoding takes more memory than `most` pixels of four bytes each."""
    pixels, (kind, cost) = image.width * image.height, _cost(image)
    allowed = most if cost <= WIDEST else int(most * WIDEST / cost)
    if pixels > allowed:
        of = f" of {kind}" if allowed < most else ""
        raise InputTooLarge(f"the image has more than the {allowed} pixels that are allowed{of}", pointer="/input")


def _cost(image: ImageFile) -> tuple[str, float]:
    """What costs more memory than pixels alone, and bytes a pixel at the peak of decoding; measured with Pillow 13."""
    held = HELD.get(image.mode, WIDEST)
    tile = image.tile[0] if image.tile else None
    kind, more = "", 0.0
    if image.format == "WEBP":
        kind, more = "a WebP", 14.0  # two canvases and the frame of its decoder, and the frame as bytes
    elif image.info.get("progressive") or image.info.get("progression"):
        kind, more = "a progressive JPEG", _coefficients(image)
    elif image.format == "BMP" and tile is not None and tile.codec_name == "bmp_rle":
        kind, more = "a run-length encoded BMP", 3.0
    elif tile is not None and tile.codec_name == "ppm_plain":
        kind, more = "a PNM in plain text", 12.0
    elif image.format == "TIFF":
        kind, more = _of_tiff(image, held)
    if re.fullmatch(r"(RGB[AXa]?|CMYK);16[BLN]", rawmode(image)):
        kind, held = kind or "16 bits a colour", 2 * held  # read twice: high bytes and low bytes
    return kind, held + more


def _coefficients(image: ImageFile) -> float:
    """Bytes a pixel of the coefficients that a progressive JPEG keeps until its last scan: two for each sample."""
    sampling: list[tuple[int, int]] = [(h, v) for _, h, v, *_ in getattr(image, "layer", ())]
    if not sampling:
        return 6.0
    most = max(h for h, _ in sampling) * max(v for _, v in sampling)
    return 2 * sum(h * v for h, v in sampling) / most


def _of_tiff(image: ImageFile, held: int) -> tuple[str, float]:
    """A turned TIFF is copied by Pillow; a compressed one is unpacked strip by strip, or tile by tile."""
    tags = getattr(image, "tag_v2", {})
    kind, more = "", 0.0
    if tags.get(274, 1) in range(2, 9):
        kind, more = "a turned TIFF", float(held)
    if image.tile and image.tile[0].codec_name == "libtiff":
        width, height = image.size
        rows = min(int(tags.get(323, tags.get(278, height))), height)
        columns = int(tags.get(322, width))
        strip = rows * columns / (width * height)
        if strip > SMALL_STRIP:
            kind, more = kind or "a TIFF in one strip", more + held * min(strip, 1.0)
    return kind, more
