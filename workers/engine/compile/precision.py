"""One precision for a whole graph: whatever floats a program names or stores, it computes in the engine's.

So weights in half, bfloat16 or double load, and what a model casts on its way, or runs under autocast, is computed as
the rest is. Rounding to a shorter type on the way is no part of the function that is explained.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from workers.engine.compile.constants import Constants
from workers.explanation.errors import InvalidFolder

_COMPLEX = {torch.float16: torch.complex32, torch.float32: torch.complex64, torch.float64: torch.complex128}


def unify(graph: fx.Graph, constants: Constants, dtype: torch.dtype) -> Constants:
    """The constants in the one precision; calls name it where they named another, or relied on the default's.

    Raises InvalidFolder where a call reads the bits of a float, which have no meaning in another type.
    """
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is torch.ops.aten.view.dtype and (_is_float(node) or _is_float(node.all_input_nodes[0])):
            raise InvalidFolder(
                f"{node.name} reads the bits of a number (Tensor.view of another dtype); Whence computes in "
                f"{spoken(dtype)} throughout: convert by Tensor.to, or do it before the model"
            )
        node.args = _literals(node.args, dtype)
        node.kwargs = _literals(node.kwargs, dtype)
        if _makes_by_default(node):
            node.kwargs = {**node.kwargs, "dtype": of_type(node.meta["val"].dtype, dtype)}
    return {name: in_precision(value, dtype) for name, value in constants.items()}


def in_precision(value: Any, dtype: torch.dtype) -> Any:
    """A tensor of floats or complex numbers in that precision; anything else as it is."""
    return value.to(of_type(value.dtype, dtype)) if isinstance(value, torch.Tensor) else value


def of_type(given: torch.dtype, dtype: torch.dtype) -> torch.dtype:
    """What a type becomes in that precision."""
    if given.is_complex:
        return _COMPLEX[dtype]
    return dtype if given.is_floating_point else given


def stored_types(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    """The names of the types that a program's floats are stored in, as `bfloat16`."""
    values = (*program.state_dict.values(), *program.constants.values())
    return tuple(sorted({spoken(v.dtype) for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()}))


def _literals(argument: Any, dtype: torch.dtype) -> Any:
    """The argument with its types replaced, and numbers beyond the precision's reach (a mask's, say) at its end."""
    limits = torch.finfo(dtype)

    def replaced(literal: Any) -> Any:
        if isinstance(literal, torch.dtype):
            return of_type(literal, dtype)
        if isinstance(literal, float) and 0 < abs(literal) < limits.tiny:
            return limits.tiny if literal > 0 else -limits.tiny
        if isinstance(literal, float) and limits.max < abs(literal) < float("inf"):
            return limits.max if literal > 0 else limits.min
        return literal

    return fx.node.map_aggregate(argument, replaced)


def _makes_by_default(node: fx.Node) -> bool:
    """Whether the call makes floats from no tensor and leaves their type to torch's default."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or node.all_input_nodes or node.kwargs.get("dtype") is not None or not _is_float(node):
        return False
    return any(argument.name == "dtype" and argument.kwarg_only for argument in schema.arguments)


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


def spoken(dtype: torch.dtype) -> str:
    """A type's name, as `float32`."""
    return str(dtype).removeprefix("torch.")
