"""Many pictures on one: a row for each input, a column for each method."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw

from service.render.frame import MARGIN, SMALL, WHITE
from service.render.text import FAINT, fitted, write

WIDTH = 320
LINE = SMALL + 8
MOST = 240  # pictures; beyond, a sheet is too large to look at


def contact_sheet(rows: Sequence[tuple[str, Sequence[bytes | None]]]) -> bytes:
    """A PNG of rows of PNGs, each row under its name; None is a place that stays empty."""
    drawn = [(name, [picture and _thumbnail(picture) for picture in pictures]) for name, pictures in rows]
    heights = [LINE + max((one.height for one in pictures if one), default=0) for _, pictures in drawn]
    columns = max(len(pictures) for _, pictures in drawn)
    sheet = Image.new("RGB", (columns * WIDTH + 2 * MARGIN, sum(heights) + 2 * MARGIN), WHITE)
    pen, down = ImageDraw.Draw(sheet), MARGIN
    for (name, pictures), height in zip(drawn, heights, strict=True):
        write(pen, (MARGIN + MARGIN / 2, down), fitted(name, SMALL, sheet.width - 3 * MARGIN), SMALL, ink=FAINT)
        for column, picture in enumerate(pictures):
            if picture:
                sheet.paste(picture, (MARGIN + column * WIDTH, down + LINE))
        down += height
    out = BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _thumbnail(picture: bytes) -> Image.Image:
    image = Image.open(BytesIO(picture)).convert("RGB")
    return image.resize((WIDTH, max(1, image.height * WIDTH // image.width)), Image.Resampling.LANCZOS)
