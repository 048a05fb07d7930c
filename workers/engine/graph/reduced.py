"""Products in bfloat16: convolutions, linear layers and matrix products whose factors are rounded to 8 binary digits.

On the way forward that changes which rectifiers are open, and with them the slopes: gradients of SqueezeNet correlate
with those of float32 by .96 to .98 then. So a pass that is walked back is float32 forward and bfloat16 back, and a pass
for its outputs alone is bfloat16. What lies between the products is float32, as is all that a method makes of values.
A dense layer that no other product follows stays whole: of scores of 16 to 32 only every eighth of one would be told
apart. So do fused attention, for a mask's lowest number would be infinite, and recurrent layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from workers.engine.graph import ops
from workers.engine.graph.graph import Graph

ROUNDED = torch.bfloat16
DENSE = frozenset({"linear", "addmm", "mm", "matmul"})
PRODUCTS = ops.LINEAR | DENSE | frozenset({"bmm", "mv", "einsum", "baddbmm"})


def reduced(graph: Graph) -> Graph:
    """The same graph with its products in bfloat16; it keeps the other as its `exact`."""
    short = rounding(graph)
    nodes = tuple(replace(one, call=Rounded(one.call)) if one.index in short else one for one in graph.nodes)
    return replace(graph, nodes=nodes, exact=graph)


def rounding(graph: Graph) -> set[int]:
    """The nodes that are products, less the dense layers that none of these follows."""
    followed = [False] * len(graph.nodes)
    found = set()
    for node in reversed(graph.nodes):
        if node.op in PRODUCTS and (followed[node.index] or node.op not in DENSE):
            found.add(node.index)
        if node.op in PRODUCTS or followed[node.index]:
            for i in node.inputs:
                followed[i] = True
    return found


@dataclass(frozen=True, eq=False)
class Rounded:
    """A product of float32 tensors that hands back float32, and rounds as said above."""

    call: Callable[..., Tensor]

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        def run(tensors: Sequence[Tensor]) -> Tensor:
            return self.call(*_filled(args, iter(tensors)), **kwargs)

        given = list(_tensors(args))
        if torch.is_grad_enabled() and any(one.requires_grad for one in given):
            walked: Tensor = _WalkedBack.apply(run, *given)  # type: ignore[no-untyped-call]
            return walked
        return run([_rounded(one) for one in given]).float()


class _WalkedBack(torch.autograd.Function):
    """Forward as it is, and the vector-Jacobian product of the rounded factors with the rounded vector."""

    @staticmethod
    def forward(ctx: Any, run: Callable[[Sequence[Tensor]], Tensor], *tensors: Tensor) -> Tensor:
        ctx.run = run
        ctx.save_for_backward(*tensors)
        return run(tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        asked = ctx.needs_input_grad[1:]
        leaves = [_rounded(one.detach()).requires_grad_(of) for one, of in zip(ctx.saved_tensors, asked, strict=True)]
        with torch.enable_grad():
            output = ctx.run(leaves)
        found = torch.autograd.grad(output, [one for one in leaves if one.requires_grad], _rounded(weights))
        slopes = iter(found)
        return None, *(next(slopes).float() if of else None for of in asked)


def _rounded(one: Tensor) -> Tensor:
    return one.to(ROUNDED) if one.dtype == torch.float32 else one


def _tensors(argument: Any) -> Iterator[Tensor]:
    """The tensors of an argument, at any depth of lists, in order."""
    if isinstance(argument, Tensor):
        yield argument
    elif isinstance(argument, list | tuple):
        for one in argument:
            yield from _tensors(one)


def _filled(argument: Any, tensors: Iterator[Tensor]) -> Any:
    """The argument with other tensors in their places."""
    if isinstance(argument, Tensor):
        return next(tensors)
    return type(argument)(_filled(one, tensors) for one in argument) if isinstance(argument, list | tuple) else argument
