"""A dependency graph as SVG and as PNG: the start at the top, layer by layer down, what is shared ringed."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.render.colormaps import colours
from service.render.frame import SMALL, TITLE, WHITE
from service.render.frame import png as encoded
from service.render.plots.graph_layout import HEIGHT, LABELS, MARGIN, NODE, Layout, Placed, layout
from service.render.text import FAINT, INK, fitted, write

RING = (196, 30, 40)
_EDGE = np.array([96, 104, 120])
_LIGHTEST = 0.25  # of the strength of an edge or a node that is hardly ever an outlier
Arrays = Mapping[str, NDArray[Any]]
Colour = tuple[int, int, int]


def svg(meta: Mapping[str, Any], _: Arrays) -> bytes:
    """The drawing as SVG; every node tells its layer, unit, frequency and in-degree when pointed at."""
    placed = layout(meta["info"])
    room = placed.width - 2 * MARGIN
    title, subtitle = _said(meta, placed)
    title, subtitle = fitted(title, TITLE, room), fitted(subtitle, SMALL, room)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{placed.width}" height="{placed.height}" role="img" '
        f'viewBox="0 0 {placed.width} {placed.height}" font-family="system-ui, sans-serif" font-size="{SMALL}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" fill="{_hex(WHITE)}"/>',
        f'<text x="{MARGIN}" y="{MARGIN + TITLE - 3}" font-size="{TITLE}" fill="{_hex(INK)}">{escape(title)}</text>',
        f'<text x="{MARGIN}" y="{MARGIN + TITLE + SMALL + 4}" fill="{_hex(FAINT)}">{escape(subtitle)}</text>',
    ]
    for row in placed.rows:
        name = escape(_shortened(row.name))
        parts.append(f'<text x="{MARGIN}" y="{row.y + 4:g}" fill="{_hex(INK)}">{name}</text>')
        if row.note:
            parts.append(f'<text x="{MARGIN}" y="{row.y + 20:g}" fill="{_hex(FAINT)}">{escape(row.note)}</text>')
    for top, below, frequency in placed.edges:
        a, b = placed.nodes[top], placed.nodes[below]
        parts.append(
            f'<line x1="{a.x:.1f}" y1="{a.y + HEIGHT / 2:.1f}" x2="{b.x:.1f}" y2="{b.y - HEIGHT / 2:.1f}" '
            f'stroke="{_hex(_edge(frequency))}" stroke-width="{_width(frequency):g}"/>'
        )
    parts += [_box(node) for node in placed.nodes.values()]
    return "".join([*parts, "</svg>"]).encode()


def png(meta: Mapping[str, Any], _: Arrays) -> bytes:
    """The same drawing as PNG, each line twice as fine and reduced, for Pillow's own lines have steps."""
    placed = layout(meta["info"])
    title, subtitle = _said(meta, placed)
    fine = Image.new("RGB", (2 * placed.width, 2 * placed.height), WHITE)
    draw = ImageDraw.Draw(fine)
    for top, below, frequency in sorted(placed.edges, key=lambda edge: edge[2]):
        a, b = placed.nodes[top], placed.nodes[below]
        ends = (2 * a.x, 2 * a.y + HEIGHT, 2 * b.x, 2 * b.y - HEIGHT)
        draw.line(ends, fill=_edge(frequency), width=round(2 * _width(frequency)))
    for node in placed.nodes.values():
        box = (2 * node.x - NODE, 2 * node.y - HEIGHT, 2 * node.x + NODE, 2 * node.y + HEIGHT)
        outline, width = (RING, 6) if node.shared else (FAINT, 2)
        draw.rounded_rectangle(box, radius=12, fill=_fill(node), outline=outline, width=width)
    canvas = fine.resize((placed.width, placed.height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(canvas)
    room = placed.width - 2 * MARGIN
    write(draw, (MARGIN, MARGIN), fitted(title, TITLE, room), TITLE)
    write(draw, (MARGIN, MARGIN + TITLE + 6), fitted(subtitle, SMALL, room), SMALL, ink=FAINT)
    for row in placed.rows:
        write(draw, (MARGIN, row.y), fitted(_shortened(row.name), SMALL, LABELS - 8), SMALL, anchor="lm")
        write(draw, (MARGIN, row.y + 16), row.note, SMALL, ink=FAINT, anchor="lm")
    for node in placed.nodes.values():
        write(draw, (node.x, node.y), node.text, SMALL, ink=_ink(node), anchor="mm")
    return encoded(canvas)


def _said(meta: Mapping[str, Any], placed: Layout) -> tuple[str, str]:
    """The title and the line beneath."""
    starts = [node for node in meta["info"]["nodes"] if node["layer"] == meta["info"]["nodes"][0]["layer"]]
    names = ", ".join(node["label"] or f"unit {node['unit']} of {node['layer']}" for node in starts[:4])
    images = meta["info"]["images"]
    hidden = f"; {placed.hidden} nodes are not drawn" if placed.hidden else ""
    return (
        f"{meta['method']['name']}: {names}{' ...' if len(starts) > 4 else ''}",
        f"model {meta['model']['name']}, {images} input{'s' if images != 1 else ''}; the darker, the more frequent; "
        f"red: needed by several units above{hidden}",
    )


def _box(node: Placed) -> str:
    outline, width = (RING, 2.5) if node.shared else (FAINT, 1)
    return (
        f"<g><title>{escape(node.said)}</title>"
        f'<rect x="{node.x - NODE / 2:.1f}" y="{node.y - HEIGHT / 2:.1f}" width="{NODE}" height="{HEIGHT}" rx="6" '
        f'fill="{_hex(_fill(node))}" stroke="{_hex(outline)}" stroke-width="{width}"/>'
        f'<text x="{node.x:.1f}" y="{node.y + 4:.1f}" text-anchor="middle" fill="{_hex(_ink(node))}">'
        f"{escape(node.text)}</text></g>"
    )


def _shortened(name: str) -> str:
    """A layer's name, its beginning cut where it is too long for the margin: the end tells layers apart."""
    return name if len(name) <= 34 else f"...{name[-31:]}"


def _fill(node: Placed) -> Colour:
    if node.start:
        return INK
    strength = np.array(0.04 + 0.36 * node.frequency, np.float32)
    red, green, blue = colours(strength, "heat").tolist()
    return red, green, blue


def _ink(node: Placed) -> Colour:
    return WHITE if node.start else INK


def _edge(frequency: float) -> Colour:
    strength = _LIGHTEST + (1 - _LIGHTEST) * frequency
    red, green, blue = (255 - (255 - _EDGE) * strength).round().astype(int).tolist()
    return red, green, blue


def _width(frequency: float) -> float:
    return 1 + frequency


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
