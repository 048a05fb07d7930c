"""The picture of an attribution of several inputs: that of each, beside each other, with what of the score is its."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from PIL import Image, ImageDraw

from service.render.frame import MARGIN, SMALL, TITLE, WHITE, png
from service.render.picture import caption, colour_levels, draw
from service.render.plots.pairs import draw_pairs, side_of
from service.render.style import Look, Picture
from service.render.text import FAINT, fitted, number, write
from workers.contract import decode_npy

PAIRS = "pairs"  # of two inputs' pieces: an array that is drawn between them
PLANE = ("height", "width")


def names(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The inputs that have an attribution of their own; none where there is one of a single input."""
    return tuple(meta.get(f"{meta['kind']}s", ()))


def drawn_arrays(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The arrays that a picture of an attribution is drawn from: of each input its values and what it was."""
    found = names(meta)
    if not found:
        return ("attribution", "input")
    of_each = tuple(f"{what}.{name}" for name in found for what in ("attribution", "input"))
    return (*of_each, PAIRS) if PAIRS in meta.get("arrays", ()) else of_each


def picture(form: Picture, meta: Mapping[str, Any], arrays: Sequence[bytes], look: Look) -> bytes:
    """PNG bytes; `arrays` are those that `drawn_arrays` names. Raises InvalidParameter where it hides the sign."""
    found = names(meta)
    if not found:
        return draw(form, meta, arrays, look)
    each = {name: arrays[2 * at : 2 * at + 2] for at, name in enumerate(found)}
    if form == "heatmap" and len(arrays) > 2 * len(found):
        return _of_pairs(meta, each, arrays[-1], look)
    panels = [Image.open(BytesIO(draw(form, _of_one(meta, name), pair, look))) for name, pair in each.items()]
    return png(_beside(meta, panels))


def _of_pairs(meta: Mapping[str, Any], each: Mapping[str, Sequence[bytes]], pairs: bytes, look: Look) -> bytes:
    """The inputs with lines between their pieces; those that are images in their colours."""
    sides = []
    for told in meta["info"]["pieces"]:
        attribution, seen = (decode_npy(data) for data in each[told["input"]])
        plane = len(told["grid"]) == len(PLANE) and told["input"] not in meta.get("texts", ())
        levels = colour_levels(seen, attribution.shape[-2:]) if plane else None
        sides.append(side_of(meta, told, attribution.shape, levels))
    one, other = sides
    return draw_pairs(decode_npy(pairs), (one, other), look, caption(meta))


def _of_one(meta: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What is said of the result in the panel of one input."""
    share = meta["attributions"][name]["sum"]
    return {**meta, "layout": meta["layouts"][name], "panel": (name, f"{number(share)} in all")}


def _beside(meta: Mapping[str, Any], panels: Sequence[Image.Image]) -> Image.Image:
    said, top = caption(meta), MARGIN + TITLE + 6 + SMALL + 4
    width = sum(panel.width for panel in panels)
    whole = Image.new("RGB", (width, top + max(panel.height for panel in panels)), WHITE)
    pen = ImageDraw.Draw(whole)
    write(pen, (MARGIN, MARGIN), fitted(said.title, TITLE, width - 2 * MARGIN), TITLE)
    write(pen, (MARGIN, MARGIN + TITLE + 6), fitted(said.subtitle, SMALL, width - 2 * MARGIN), SMALL, ink=FAINT)
    left = 0
    for panel in panels:
        whole.paste(panel, (left, top))
        left += panel.width
    return whole
