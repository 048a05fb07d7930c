"""Text in pictures, in room and in letters that can be drawn."""

from collections.abc import Iterable

from PIL import ImageDraw

from service.render.text.fonts import font, readable, runs

INK = (32, 32, 36)
FAINT = (104, 104, 112)
WHOLE = 1e6  # below it a number is written without a power of ten


def length(text: str, size: int) -> float:
    """How many pixels wide the text is drawn."""
    return sum(face.getlength(run) for run, face in runs(readable(text), size))


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
    own = font(None, size)
    assert own is not None, "Pillow carries a font"
    if text.isascii():
        draw.text(at, text, fill=ink, font=own, anchor=anchor)
        return
    ascent, descent = own.getmetrics()
    x = at[0] - {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]] * length(text, size)
    line = at[1] + {"a": ascent, "m": (ascent - descent) / 2, "s": 0, "d": -descent}[anchor[1]]
    for run, face in runs(text, size):
        draw.text((x, line), run, fill=ink, font=face, anchor="ls")
        x += face.getlength(run)


def number(value: float, digits: int = 3) -> str:
    """A number in so many significant digits, as short as it reads: 0.123, 12.3, 1234, 4.56e-06."""
    shown = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in shown and abs(value) < WHOLE else shown


def room(labels: Iterable[str], size: int, least: int, most: int) -> int:
    """The pixels that the longest of these takes beside a plot, within bounds."""
    return max(least, min(most, int(max((length(label[:most], size) for label in labels), default=0)) + 14))
