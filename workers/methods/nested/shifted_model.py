"""A model that takes shifted inputs as another takes them unshifted: its first biases make up for it (S4 14.2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph, Node, Ref, references
from workers.engine.graph.rows import Rows
from workers.engine.model.graph_copy import GraphCopy, edited, variant
from workers.engine.model.model import Model
from workers.engine.model.resources import Resources
from workers.engine.perturbation.baselines import like_the_input
from workers.engine.rules.matching import is_linear
from workers.explanation.card import InputSpec
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.perturbation import OwnInput

_ADD = torch.ops.aten.add.Tensor
_AFFINE = ops.ROUTING | ops.AVERAGING | ops.SCALING | ops.ADDITION | ops.BATCH_NORM
EVEN = 1e-5  # of the largest: a compensation that varies less from place to place is a bias


def shifted(model: Model, shift: Tensor) -> Model:
    """The model g with g(x + shift) = f(x): b - w . shift for the bias of every layer that reads the input.

    Where that differs from place to place (a picture as the shift, zeros around a convolution) it is added to what the
    layer returns. The input's range moves along. Raises MethodNotApplicable where the input meets what is not affine.
    """
    moves = _moves(model.folded, shift)

    def edit(graph_copy: GraphCopy, node: Node) -> Ref:
        if node.index not in moves or not is_linear(node):
            return graph_copy.copied(node)
        return _compensated(graph_copy, node, -moves[node.index])

    found = variant(model, edited(model.folded, edit), _spec(model.card.input, model.range(), shift))
    if model.background is not None:
        found.background = model.background + shift
    return found


def check(model: Model) -> None:
    """Raise MethodNotApplicable as `shifted` does."""
    _moves(model.folded, torch.zeros(1, *model.card.input.shape, device=model.device, dtype=model.dtype))


def _moves(graph: Graph, shift: Tensor) -> dict[int, Tensor]:
    """How far the shift moves each node's value, up to the first layers with weights."""
    found: dict[int, Tensor] = {0: shift}
    for node in graph.nodes[1:]:
        meets = [i for i in node.inputs if i in found and not is_linear(graph.nodes[i])]
        if not meets or node.op.startswith("sym_"):
            continue
        if not is_linear(node) and not _affine(node, found):
            raise MethodNotApplicable(
                f"a shift of the input cannot be made up for: the input meets {node.layer} ({node.op}) before any "
                "layer with a bias",
                pointer="/method",
            )
        with torch.no_grad():
            found[node.index] = _run(graph, node, found) - _run(
                graph, node, {i: torch.zeros_like(found[i]) for i in meets}
            )
    return found


def _affine(node: Node, found: Mapping[int, Tensor]) -> bool:
    """Whether the node's value moves by what its inputs' shifts say, wherever they are."""
    if node.op in ops.SCALING:
        return len(list(references(list(node.args)))) == 1 and (node.op == "mul" or isinstance(node.args[0], Ref))
    return node.op in ops.ADDITION or (node.op in _AFFINE and all(i in found for i in node.inputs))


def _run(graph: Graph, node: Node, moved: Mapping[int, Tensor]) -> Any:
    """The node's value where its inputs have these, and zeros where nothing moved."""
    like = next(iter(moved.values()))
    values = {i: moved.get(i, like.new_zeros((1, *(graph.nodes[i].shape or ())))) for i in node.inputs}
    return node.run(values)


def _compensated(graph_copy: GraphCopy, node: Node, amount: Tensor) -> Ref:
    """The layer with `amount` (1, *shape) added to what it returns, in its bias if it can be."""
    axis = amount.dim() - 1 if node.op == "linear" else 1
    flat = amount.movedim(axis, 0).flatten(1)
    even = bool(((flat - flat[:, :1]).abs() <= EVEN * flat.abs().max().clamp(min=1e-30)).all())
    weight, bias = node.args[1], node.args[2] if len(node.args) > 2 else None
    rest = graph_copy.moved(list(node.args[3:]))
    read = graph_copy.moved(node.args[0])
    if even:
        moved = flat[:, 0] if bias is None else flat[:, 0] + bias
        return graph_copy.copied(node, (read, weight, moved, *rest))
    layer = graph_copy.copied(node, (read, weight, bias, *rest))
    shape = tuple(amount.shape[1:])
    if node.rows.plain:
        return graph_copy.added(f"{node.name}_shifted", _ADD, "add", (layer, amount), shape, node)
    each = partial(_add_to_each, node.rows)
    return graph_copy.added(f"{node.name}_shifted", each, "add", (layer, amount), shape, node)


def _add_to_each(rows: Rows, value: Tensor, amount: Tensor) -> Tensor:
    """The value with an amount that is one row's added to every row."""
    return rows.join(rows.split(value) + rows.split(amount))


def _spec(spec: InputSpec, bounds: tuple[Tensor, Tensor] | None, shift: Tensor) -> InputSpec:
    """The input's description with its range moved: to the least and the greatest of each channel."""
    if bounds is None:
        return spec
    low, high = (bound.expand_as(shift) + shift for bound in bounds)
    if len(spec.shape) == 1:
        ends = float(low.min()), float(high.max())
    else:
        rows = low.transpose(0, 1).flatten(1).amin(1), high.transpose(0, 1).flatten(1).amax(1)
        ends = tuple(rows[0].tolist()), tuple(rows[1].tolist())  # type: ignore[assignment]  # both a channel's each
    return spec.model_copy(update={"kind": "tensor", "image": None, "low": ends[0], "high": ends[1]})


def pattern(model: Model, kind: str | OwnInput, amount: float, resources: Resources, asked: str = "shift") -> Tensor:
    """The shift (1, *shape): `amount` of the input's range everywhere, or on every other square of a checkerboard.

    Or `amount` of an input of one's own. Raises InvalidParameter, which points at the field that `asked`, where that
    has another shape than the model's input.
    """
    shape = model.card.input.shape
    ones = torch.ones(1, *shape, device=model.device, dtype=model.dtype)
    if isinstance(kind, OwnInput):
        return amount * like_the_input(resources.given(kind.digest), ones, asked)
    bounds = model.range()
    size = ones if bounds is None else ones * (bounds[1] - bounds[0])
    if kind == "checkerboard":
        steps = [torch.arange(length, device=model.device) * 4 // max(4, length) for length in shape]
        grid = torch.zeros(shape, device=model.device, dtype=torch.long)
        for axis, step in enumerate(steps if len(shape) == 1 else steps[1:], 0 if len(shape) == 1 else 1):
            grid = grid + step.view(*[1] * axis, -1, *[1] * (len(shape) - 1 - axis))
        size = size * (grid % 2)
    return amount * size
