"""The forward walk: carries a change of the input to a later node, by the tape of one forward pass.

Each node's Jacobian-vector product is the derivative of its vector-Jacobian product, which is linear in the vector: so
what a node needs is on the tape already, and nothing global is switched (torch's own forward mode is one per process).
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from workers.engine.graph.graph import is_float
from workers.engine.graph.tape import Local, Tape


@dataclass(frozen=True, slots=True)
class _Step:
    """A node's vector-Jacobian products as functions of the vectors, one for each tensor that it returns.

    `inputs` are the nodes that the products belong to, `items` the numbers of those tensors among all that it returns.
    Of a node that picks one of several tensors, `item` says which.
    """

    index: int
    inputs: tuple[int, ...]
    vectors: tuple[Tensor, ...] = ()
    products: tuple[Tensor, ...] = ()
    items: tuple[int, ...] = ()
    item: int | None = None


class Pushforward:
    """The derivative of a node's value in the input, ready to be applied to any number of changes of the input."""

    def __init__(self, tape: Tape, to: int) -> None:
        self._to = to
        self._like: Tensor = tape.values[to]
        self._steps: list[_Step] = []
        moved = {0}
        for local in tape.locals[1 : to + 1]:
            step = _step(local, moved) if local else None
            if step is not None:
                self._steps.append(step)
                moved.add(step.index)

    def __call__(self, change: Tensor) -> Tensor:
        """The change of the node's value, to first order, for one of the input."""
        changes: dict[int, dict[int, Tensor]] = {0: {0: change}}
        for step in self._steps:
            if step.item is not None:
                changes[step.index] = {0: changes[step.inputs[0]][step.item]}
                continue
            found = torch.autograd.grad(
                step.products,
                step.vectors,
                [changes[i][0] for i in step.inputs],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            changes[step.index] = dict(zip(step.items, found, strict=True))
        return changes[self._to][0] if self._to in changes else torch.zeros_like(self._like)


def _step(local: Local, moved: Container[int]) -> _Step | None:
    """The step of a node, None of one whose value stays as it is when those of `moved` change."""
    if not any(i in moved for i in local.inputs):
        return None
    if local.item is not None:
        return _Step(local.node.index, local.inputs, item=local.item) if is_float(local.output) else None
    returned = local.output if isinstance(local.output, tuple | list) else [local.output]
    moving = {k: output for k, output in enumerate(returned) if isinstance(output, Tensor) and output.requires_grad}
    if not moving:
        return None
    outputs = [*moving.values()]
    vectors = tuple(torch.zeros_like(output).requires_grad_() for output in outputs)
    products = torch.autograd.grad(outputs, local.leaves, vectors, create_graph=True, allow_unused=True)
    found = cast("tuple[Tensor | None, ...]", products)
    parts = [(i, p) for i, p in zip(local.inputs, found, strict=True) if p is not None and i in moved]
    if not parts:
        return None
    return _Step(local.node.index, tuple(i for i, _ in parts), vectors, tuple(p for _, p in parts), tuple(moving))
