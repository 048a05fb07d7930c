"""ONNX files: their module by onnx2torch, and what they say of their inputs."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from workers.explanation.card import OPEN
from workers.explanation.errors import InvalidFolder
from workers.models.export.tracebacks import first_line


def read_onnx(file: Path) -> nn.Module:
    """The module of an ONNX file, by onnx2torch; raises InvalidFolder for operators that it does not know."""
    proto, convert = _checked(file)
    try:
        module: nn.Module = convert(proto)
    except NotImplementedError as error:
        raise InvalidFolder(
            f"onnx:{file}: onnx2torch cannot convert it: {first_line(error)[:200]}; export the model from where it was "
            "trained instead, as python:net.py:build"
        ) from None
    return module.eval()


def onnx_shapes(file: Path) -> list[tuple[str, tuple[int, ...]]]:
    """The inputs of an ONNX file, each with its shape without the batch axis; one alone needs no name.

    Raises InvalidFolder where there is no such file.
    """
    graph = _checked(file)[0].graph
    held = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in held]
    shapes = [tuple(axis.dim_value or OPEN for axis in one.type.tensor_type.shape.dim)[1:] for one in inputs]
    names = ["" if len(inputs) == 1 else re.sub(r"\W", "_", one.name) for one in inputs]
    return list(zip(names, shapes, strict=True))


def _checked(file: Path) -> tuple[Any, Callable[[Any], nn.Module]]:
    """What the file holds, and what makes a module of it; raises InvalidFolder."""
    try:
        onnx, onnx2torch = (importlib.import_module(name) for name in ("onnx", "onnx2torch"))
    except ImportError:
        raise InvalidFolder(f"onnx:{file} needs onnx2torch; install it with: pip install 'whence[onnx]'") from None
    try:
        proto = onnx.load(file)
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf's, onnx's and the file system's
        raise InvalidFolder(f"onnx:{file}: it is no ONNX model: {first_line(error)[:200]}") from None
    return proto, onnx2torch.convert
