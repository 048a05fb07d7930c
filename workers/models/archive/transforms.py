"""Fourier transforms in the form that checks its axes: torch's inner one reads memory by them, unchecked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from workers.explanation.errors import InvalidFolder
from workers.models.archive.arguments import calls

aten = torch.ops.aten
FORWARD = ("backward", "ortho", "forward")  # by torch's number: scaled not at all, by the root, by the count
INVERSE = ("forward", "ortho", "backward")


def replace_transforms(program: ExportedProgram, where: str) -> None:
    """Puts the checking form in place; raises InvalidFolder for a transform whose numbers are not what torch writes."""
    for node in calls(program):
        if node.target in (aten._fft_r2c.default, aten._fft_c2c.default, aten._fft_c2r.default):
            try:
                _replace(node)
            except (TypeError, ValueError, IndexError, AttributeError):
                raise InvalidFolder(
                    f"{where}: the graph calls {node.target} otherwise than torch.export writes it"
                ) from None


def _replace(node: fx.Node) -> None:
    given: tuple[Any, ...] = (*node.args, *node.kwargs.values())
    x, dim, normalization, how = given
    if not isinstance(dim, Sequence) or not all(type(one) is int for one in (*dim, normalization)):
        raise ValueError("axes are whole numbers")
    if normalization not in range(3):
        raise ValueError("there are three normalisations")
    if node.target is aten._fft_c2r.default:
        sizes = [*[-1] * (len(dim) - 1), how]
        node.target, node.args = aten.fft_irfftn.default, (x, sizes, list(dim), INVERSE[normalization])
    elif node.target is aten._fft_c2c.default and not how:
        node.target, node.args = aten.fft_ifftn.default, (x, None, list(dim), INVERSE[normalization])
    else:
        half = node.target is aten._fft_r2c.default and how
        called = aten.fft_rfftn.default if half else aten.fft_fftn.default
        node.target, node.args = called, (x, None, list(dim), FORWARD[normalization])
    node.kwargs = {}
