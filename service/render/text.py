"""Text in pictures: in the font that Pillow carries, which knows ASCII, or in one of the machine that has more."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import groupby

from PIL import ImageDraw, ImageFont

INK = (32, 32, 36)
FAINT = (104, 104, 112)
# Names that Pillow looks for where the system keeps its fonts: of Linux and the images, of macOS, of Windows.
BEYOND_ASCII = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "DroidSansFallbackFull.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "msyh.ttc",
)
_NO_LETTER = "\uffff"
_SPACES, _MARKS = ("Cc", "Zl", "Zp"), ("Cf", "Mn")


@cache
def _font(face: str | None, size: int, layout: ImageFont.Layout | None = None) -> ImageFont.FreeTypeFont | None:
    """A font by its name, Pillow's own for None; None where the machine has it not."""
    try:
        loaded = ImageFont.truetype(face, size, layout_engine=layout) if face else ImageFont.load_default(size=size)
    except OSError:
        return None
    assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return loaded


@lru_cache(maxsize=16384)
def _has(face: str | None, letter: str) -> bool:
    """Whether the font has the letter, which it draws unlike what it has for none."""
    if face is None:
        return letter.isascii()
    if unicodedata.category(letter) == "Cs":  # half of a letter
        return False
    font = _font(face, 16, ImageFont.Layout.BASIC)  # the other layout adds a circle to a lone mark
    return font is not None and tuple(font.getmask(letter)) != tuple(font.getmask(_NO_LETTER))


def _face_of(text: str) -> str | None:
    """The first font that has all letters of the text; raises LookupError where none has."""
    for face in (None, *BEYOND_ASCII):
        if all(_has(face, letter) for letter in text):
            return face
    raise LookupError(text)


def readable(text: str) -> str:
    """The text in letters that can be drawn here, on one line.

    A letter that no font has loses its accent, and where it is none with an accent stands its code point, as `U+732B`.
    """
    shown = "".join(map(_readable, unicodedata.normalize("NFC", text)))
    return re.sub(r"[ \x00]*\x00[ \x00]*", " ", shown).strip() if "\x00" in shown else shown


def _readable(letter: str) -> str:
    kind = unicodedata.category(letter)
    if kind in _SPACES:
        return " "
    plain = "".join(one for one in unicodedata.normalize("NFKD", letter) if unicodedata.category(one) not in _MARKS)
    for shown in (letter, plain):
        try:
            _face_of(shown)
        except LookupError:
            continue
        return shown
    return f"\x00U+{ord(letter):04X}\x00"


def _runs(text: str, size: int) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
    """What of the text stands in one font, and it: all of it where one has all letters."""
    try:
        faces = [_face_of(text)] * len(text)
    except LookupError:
        faces = [_face_of(letter) for letter in text]
    for face, places in groupby(range(len(text)), lambda at: faces[at]):
        font = _font(face, size)
        assert font is not None, "a font that has letters can be loaded"
        yield "".join(text[at] for at in places), font


def length(text: str, size: int) -> float:
    """How many pixels wide the text is drawn."""
    return sum(font.getlength(run) for run, font in _runs(readable(text), size))


def fitted(text: str, size: int, width: float) -> str:
    """The text as it can be drawn, cut with an ellipsis where it is wider than `width` pixels."""
    whole = text[: int(width) + 1]  # no letter is narrower than a pixel
    cut = shown = readable(whole)
    if whole == text and length(shown, size) <= width:
        return shown
    while cut and length(cut + "...", size) > width:
        cut = cut[:-1]
    return cut.rstrip() + "..."


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    *,
    ink: tuple[int, int, int] = INK,
    anchor: str = "la",
) -> None:
    """The text at a place; `anchor` is Pillow's, its letters standing on the line on which ASCII stands."""
    text = readable(text)
    own = _font(None, size)
    assert own is not None, "Pillow carries a font"
    if text.isascii():
        draw.text(at, text, fill=ink, font=own, anchor=anchor)
        return
    ascent, descent = own.getmetrics()
    x = at[0] - {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]] * length(text, size)
    line = at[1] + {"a": ascent, "m": (ascent - descent) / 2, "s": 0, "d": -descent}[anchor[1]]
    for run, font in _runs(text, size):
        draw.text((x, line), run, fill=ink, font=font, anchor="ls")
        x += font.getlength(run)


def number(value: float) -> str:
    """A number in three significant digits, as short as it reads: 0.123, 12.3, 4.56e-06."""
    return f"{value:.3g}"
