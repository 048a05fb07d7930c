"""What operators are called with where torch trusts what it is given: the numbers of types, layouts and formats."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import fx
from torch.export import ExportedProgram

from workers.explanation.errors import InvalidFolder

# torch takes a plain number for these too, and finds by it, unchecked, what lies there in memory.
CODED = {"ScalarType": torch.dtype, "Layout": torch.layout, "MemoryFormat": torch.memory_format}


def check_arguments(program: ExportedProgram, where: str) -> None:
    """Raises InvalidFolder for a number, given or computed, where a type, a layout or a memory format should be."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, fx.GraphModule) else ():
            for name, kind, value in _given(node):
                if (wanted := CODED.get(kind)) is not None and not isinstance(value, wanted | None):
                    raise InvalidFolder(
                        f"{where}: the graph calls {node.target} with {str(value)[:40]!r} as its {name}, which is no "
                        f"{str(wanted.__name__).replace('_', ' ')} that torch.export writes"
                    )


def _given(node: fx.Node) -> Iterator[tuple[str, str, object]]:
    """Of each argument of an operator its name, the kind that it is declared as, and what is given."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    for at, declared in enumerate(node.target._schema.arguments):
        value = node.args[at] if at < len(node.args) else node.kwargs.get(declared.name)
        kind = str(declared.real_type).removeprefix("Optional[").removesuffix("]")
        yield declared.name, kind, value
