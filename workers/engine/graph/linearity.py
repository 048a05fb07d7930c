"""Which calls are affine in what flows into them, all else being as it is: found by trying, whatever the operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.embeddings import flows
from workers.engine.graph.graph import Graph, Node

SCALES = (1e-2, 1.0, 1e2, 1e4)  # a kink or a curve shows at one of them


def is_affine(node: Node, graph: Graph) -> bool:
    """Whether f(x - 3 y) - f(0) is f(x) - f(0) - 3 (f(y) - f(0)) for random x and y, of real values.

    What else the call reads (constants, indices, masks) is as it is for an input of zeros.
    """
    if graph.exact is not None:
        return is_affine(graph.exact.nodes[node.index], graph.exact)
    if node.index not in graph.affine:
        graph.affine[node.index] = _tried(node, graph)
    return graph.affine[node.index]


def adds_up(node: Node, graph: Graph) -> bool:
    """Whether an affine call moves values to other places, or adds them up with weights that are not negative."""
    if node.op in ops.SCATTERING:
        return is_affine(node, graph)
    if node.op not in ops.BILINEAR:
        return False
    factors = [one for a in node.args for one in (a if isinstance(a, list | tuple) else [a])]
    fixed = [one for one in factors if isinstance(one, Tensor)]
    return all(not one.is_complex() and bool((one >= 0).all()) for one in fixed) and is_affine(node, graph)


def _tried(node: Node, graph: Graph) -> bool:
    flowing = flows(graph)
    moving = [i for i in node.inputs if flowing[i]]
    if not moving or not flowing[node.index]:
        return False
    try:
        with torch.no_grad():
            values = graph.run(_zeros(graph), node.inputs)[1]
            return all(map(_is_real, (values[i] for i in moving))) and _is_matrix(node, values, moving)
    except Exception:  # an operation that nothing is known of may fail on what it is tried with in any way
        return False


def _is_matrix(node: Node, values: Mapping[int, Any], moving: list[int]) -> bool:
    source = torch.Generator().manual_seed(0)

    def drawn(scale: float) -> list[Tensor]:
        return [(torch.randn(values[i].shape, generator=source) * scale).to(values[i]) for i in moving]

    def run(given: list[Tensor]) -> Any:
        return node.run({**values, **dict(zip(moving, given, strict=True))})

    origin = run([torch.zeros_like(values[i]) for i in moving])
    return _is_real(origin) and all(_adds(run, origin, drawn(scale), drawn(scale)) for scale in SCALES)


def _adds(run: Callable[[list[Tensor]], Tensor], origin: Tensor, x: list[Tensor], y: list[Tensor]) -> bool:
    one, other = run(x) - origin, run(y) - origin
    both = run([a - 3 * b for a, b in zip(x, y, strict=True)]) - origin
    size = float(torch.stack([part.abs().max() for part in (one, 3 * other, origin)]).max()) if origin.numel() else 0.0
    return bool(((both - (one - 3 * other)).abs() <= torch.finfo(origin.dtype).eps ** 0.5 * size).all())


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _zeros(graph: Graph) -> Tensor:
    """An input that every model runs on: its zeros are ids, too."""
    known = [a for node in graph.nodes for a in node.args if _is_real(a)]
    shape = graph.nodes[0].shape or ()
    return torch.zeros(1, *shape, dtype=known[0].dtype, device=known[0].device) if known else torch.zeros(1, *shape)
