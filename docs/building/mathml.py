"""Formulas as MathML, which browsers draw by themselves: no script, no other host."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls it by this name."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer: Any, node: nodes.math) -> None:
    _write(writer, node, "inline")


def _block(writer: Any, node: nodes.math_block) -> None:
    _write(writer, node, "block")


def _write(writer: Any, node: nodes.Element, display: str) -> None:
    drawn = convert(node.astext(), display=display)
    writer.body.append(drawn.replace("<mi>&#x02032;</mi>", "<mo>&#x02032;</mo>"))  # a prime is no letter to be slanted
    raise nodes.SkipNode
