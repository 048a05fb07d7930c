"""Text in pictures, with the font that Pillow carries: it knows ASCII, so other letters lose their accents."""

import unicodedata
from functools import cache

from PIL import ImageDraw, ImageFont

INK = (32, 32, 36)
FAINT = (104, 104, 112)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    loaded = ImageFont.load_default(size=size)
    assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return loaded


def ascii_only(text: str) -> str:
    """The nearest ASCII text; letters without one become question marks."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return plain.encode("ascii", "replace").decode().replace("\n", " ")


def fitted(text: str, size: int, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    text = ascii_only(text)
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    *,
    ink: tuple[int, int, int] = INK,
    anchor: str = "la",
) -> None:
    draw.text(at, text, fill=ink, font=font(size), anchor=anchor)


def number(value: float) -> str:
    """A number in three significant digits, as short as it reads: 0.123, 12.3, 4.56e-06."""
    return f"{value:.3g}"
