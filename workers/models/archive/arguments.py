"""What operators are called with where torch trusts what it is given: the numbers of types, layouts and formats."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from workers.explanation.errors import InvalidFolder

# torch takes a plain number for these too, and finds by it, unchecked, what lies there in memory.
CODED = {"ScalarType": torch.dtype, "Layout": torch.layout, "MemoryFormat": torch.memory_format}


def calls(program: ExportedProgram) -> Iterator[fx.Node]:
    """The nodes of a program that call an operator, those of its regions too."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, fx.GraphModule) else ():
            if isinstance(node.target, torch._ops.OpOverload):
                yield node


def check_arguments(program: ExportedProgram, where: str) -> None:
    """Raises InvalidFolder for a number, given or computed, where a type, a layout or a memory format should be."""
    for node in calls(program):
        for at, name, wanted in _coded(node.target):
            value = node.args[at] if at < len(node.args) else node.kwargs.get(name)
            if not isinstance(value, wanted | None):
                raise InvalidFolder(
                    f"{where}: the graph calls {node.target} with {str(value)[:40]!r} as its {name}, which is no "
                    f"{str(wanted.__name__).replace('_', ' ')} that torch.export writes"
                )


@cache
def _coded(operator: Any) -> list[tuple[int, str, Any]]:
    """Those arguments of an operator: which it is, its name, and what it should be."""
    declared = [str(one.real_type).removeprefix("Optional[").removesuffix("]") for one in operator._schema.arguments]
    return [(at, operator._schema.arguments[at].name, CODED[kind]) for at, kind in enumerate(declared) if kind in CODED]
