"""Which font draws which letters: the one that Pillow carries knows ASCII, and the machine has some that know more."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import groupby

from PIL import ImageFont

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
def font(face: str | None, size: int, layout: ImageFont.Layout | None = None) -> ImageFont.FreeTypeFont | None:
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
    loaded = font(face, 16, ImageFont.Layout.BASIC)  # the other layout adds a circle to a lone mark
    return loaded is not None and tuple(loaded.getmask(letter)) != tuple(loaded.getmask(_NO_LETTER))


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


def runs(text: str, size: int) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
    """What of the text stands in one font, and it: all of it where one has all letters."""
    try:
        faces = [_face_of(text)] * len(text)
    except LookupError:
        faces = [_face_of(letter) for letter in text]
    for face, places in groupby(range(len(text)), lambda at: faces[at]):
        loaded = font(face, size)
        assert loaded is not None, "a font that has letters can be loaded"
        yield "".join(text[at] for at in places), loaded
