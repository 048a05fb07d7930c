"""Formulas as MathML, which browsers draw by themselves: no script, no other host."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

# Fonts that say how far a subscript hangs and a sum's limits stand off; without one Chromium lets them touch.
FONTS = '"STIX Two Math", "Cambria Math", "Latin Modern Math", "DejaVu Math TeX Gyre", math'


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls it by this name."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer: Any, node: nodes.math) -> None:
    _write(writer, node, "inline")


def _block(writer: Any, node: nodes.math_block) -> None:
    _write(writer, node, "block")


def _write(writer: Any, node: nodes.Element, display: str) -> None:
    drawn = convert(node.astext().replace("\\arg", r"\mathrm{arg}\,"), display=display)
    drawn = drawn.replace("<mi>&#x02032;</mi>", "<mo>&#x02032;</mo>")  # a prime is no letter to be slanted
    drawn = drawn.replace("<mi>&#x029F5;</mi>", "<mo>&#x02216;</mo>")  # few fonts have the first
    writer.body.append(drawn.replace("<math ", f"<math style='font-family: {FONTS}' ", 1))
    raise nodes.SkipNode
