"""What a picture takes to be read, of ten kinds, each as large as is allowed: its decoded bytes, and four tensors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.workers.explanation.picture_files import encoded, png
from workers.explanation.errors import InputTooLarge
from workers.explanation.images.decoding import inspect
from workers.explanation.images.files import MAX_PIXELS

STATUS = Path("/proc/self/status")
WIDEST = 4  # bytes of a pixel
SIDE = 224
TENSOR = 3 * SIDE * SIDE * 4
MIB = 2**20
SPARE = 16 * MIB  # strips, bands and tables, whatever the picture's size

PEAK = f"""
import sys
from pathlib import Path
from workers.explanation.card import ImageSpec
from workers.explanation.images.decoding import prepare
prepare(Path(sys.argv[1]).read_bytes(), ImageSpec(resize=({SIDE}, {SIDE}), mean=(0,), std=(1,)), (3, {SIDE}, {SIDE}))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def plain(mode: str, format_: str = "PNG", **options: object) -> Callable[[int, int], bytes]:
    return lambda width, height: encoded(Image.new(mode, (width, height)), format_, **options)


def deep(width: int, height: int) -> bytes:
    return png(np.zeros((height, width, 3), np.uint16), 16, 2)


KINDS: dict[str, tuple[Callable[[int, int], bytes], float]] = {
    "PNG, grey": (plain("L"), 1),
    "PNG, RGB": (plain("RGB"), 1),
    "PNG, RGBA": (plain("RGBA"), 1),
    "PNG, palette with a transparent colour": (plain("P", transparency=0), 1),
    "PNG, grey of 16 bits": (plain("I;16"), 1),
    "PNG, RGB of 16 bits": (deep, 4 / 8),
    "JPEG": (plain("RGB", "JPEG"), 1),
    "JPEG, progressive": (plain("RGB", "JPEG", progressive=True, subsampling=2), 4 / 7),
    "JPEG, CMYK": (plain("CMYK", "JPEG"), 1),
    "WebP, lossless": (plain("RGBA", "WEBP", lossless=True), 4 / 18),
    "GIF": (plain("P", "GIF"), 1),
    "TIFF, deflated in one strip": (plain("RGB", "TIFF", compression="tiff_adobe_deflate", strip_size=2**30), 4 / 8),
}


@pytest.fixture(scope="module")
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", end="")

    return say


def peak(data: bytes, place: Path) -> int:
    """Bytes, of a process of its own that does nothing else: as GNU time's maximum resident set size."""
    place.write_bytes(data)
    command = [sys.executable, "-W", "ignore", "-c", PEAK, str(place)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="peak memory is read from /proc, which Linux has")
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_at_the_limit_takes_its_decoded_bytes(kind: str, tmp_path: Path, tell: Callable[[str], None]) -> None:
    made, share = KINDS[kind]
    width = int((MAX_PIXELS * share) ** 0.5)
    data = made(width, width)
    small, large = (peak(one, tmp_path / "picture") for one in (made(8, 8), data))
    decoded = int(width * width * WIDEST / share)  # with what its decoder keeps beside them
    tell(f"{kind:40}{width**2 / 1e6:6.1f} megapixels{len(data) / MIB:7.2f} MiB of file{(large - small) / MIB:7.1f} MiB")
    assert large - small < decoded + 4 * TENSOR + len(data) + SPARE
    with pytest.raises(InputTooLarge):
        inspect(made(width, width + 2))
