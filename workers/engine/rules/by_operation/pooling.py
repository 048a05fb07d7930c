"""Maximum pooling by proportion: what a pool reads shares its relevance, not the winner alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workers.engine.graph import ops
from workers.engine.graph.graph import Node
from workers.engine.graph.tape import Local
from workers.engine.rules.by_operation.passing import Gradient
from workers.engine.rules.rule import Rule, fit, stabilise
from workers.engine.rules.weightless import Weightless, serves

_ADAPTIVE: dict[str, Callable[..., Tensor]] = {
    "adaptive_max_pool1d": functional.adaptive_avg_pool1d,
    "adaptive_max_pool2d": functional.adaptive_avg_pool2d,
    "adaptive_max_pool3d": functional.adaptive_avg_pool3d,
}


class Proportional:
    """R_j = sum over pools k of a_j / sum_j' a_j' R_k (S4 16.2, l.4565; table 10.1: pooling as a layer of ones).

    With `positive` only values above zero share, so that no relevance changes its sign.
    """

    def __init__(self, node: Node, epsilon: float, positive: bool = False) -> None:
        self.node = node
        self.epsilon = epsilon
        self.positive = positive

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        relevance = of_values(relevance)
        leaves = [leaf.detach().clamp(min=0) if self.positive else leaf.detach() for leaf in local.leaves]
        if len(leaves) > 1:
            part = relevance / stabilise(leaves[0] + leaves[1], self.epsilon)
            return [fit(part * leaf, leaf) for leaf in leaves]
        leaf = leaves[0].requires_grad_()
        with torch.enable_grad():
            z = sums(self.node, leaf)
        share = torch.autograd.grad(z, leaf, relevance / stabilise(z.detach(), self.epsilon))[0]
        return [leaf.detach() * share]


@serves(ops.MAX_POOLING | ops.CHOOSING | {"max_pool1d_with_indices"})
def pooled(of: Weightless) -> Rule | None:
    """The winner takes all, or in proportion; the entry counts where it has named the pool."""
    proportional = of.structure.choices.pooling == "proportional"
    if pools(of.node) and (of.named or proportional):
        alike = of.entry.alike(of.node, of.sources) if of.named else None
        return alike or Proportional(of.node, of.entry.epsilon)
    if of.node.op in ops.INDEXED_MAXIMA and proportional:
        return None
    return Gradient() if of.node.op in ops.MAX_POOLING | ops.CHOOSING else None


def pools(node: Node) -> bool:
    """Whether the node takes the maximum of several values that it reads, in windows or along axes."""
    several = len(node.inputs) > 1 and node.op in ("maximum", "fmax", "max")
    along = len(node.inputs) == 1 and node.op in ("amax", "max")
    return several or along or _name(node) in _ADAPTIVE or node.op.startswith("max_pool")


def of_values(relevance: Any) -> Tensor:
    """The relevance of the values of a pool that returns their places, too."""
    found: Tensor = relevance[0] if isinstance(relevance, Mapping) else relevance
    return found


def sums(node: Node, x: Tensor) -> Tensor:
    """The sum, or the mean, of what each pool reads, in place of its maximum; padding counts nothing."""
    if node.op.startswith("max_pool"):
        return _windows(node, x)
    if _name(node) in _ADAPTIVE:
        return _ADAPTIVE[_name(node)](x, node.args[1])
    dims = _argument(node, 1, "dim", [])
    return x.sum(tuple(range(x.dim())) if dims == [] else dims, keepdim=_argument(node, 2, "keepdim", False))


def _name(node: Node) -> str:
    return node.op.removesuffix("_with_indices")


def _windows(node: Node, x: Tensor) -> Tensor:
    """The sum of each window, axis by axis."""
    axes = int(_name(node)[-2])
    names = (("kernel_size", 1), ("stride", ()), ("padding", 0), ("dilation", 1))
    sizes, strides, paddings, dilations = (
        _per_axis(_argument(node, place, name, default), axes) for place, (name, default) in enumerate(names, 1)
    )
    ceil = bool(_argument(node, 5, "ceil_mode", False))
    for k, (size, stride, padding, dilation) in enumerate(
        zip(sizes, strides or sizes, paddings, dilations, strict=True)
    ):
        axis = x.dim() - axes + k
        x = _along(x.movedim(axis, -1), size, stride, padding, dilation, ceil).movedim(-1, axis)
    return x


def _along(x: Tensor, size: int, stride: int, padding: int, dilation: int, ceil: bool) -> Tensor:
    """The sum of each window along the last axis."""
    length, span = x.shape[-1], dilation * (size - 1) + 1
    room = length + 2 * padding - span
    count = (room + stride - 1) // stride + 1 if ceil else room // stride + 1
    if ceil and (count - 1) * stride >= length + padding:  # a window that began in the padding there is not
        count -= 1
    reach = (count - 1) * stride + 1
    padded = functional.pad(x, (padding, max(0, reach - 1 + span - length - padding)))
    return torch.stack([padded[..., o : o + reach : stride] for o in range(0, span, dilation)]).sum(0)


def _per_axis(value: Any, axes: int) -> Sequence[int]:
    if isinstance(value, int):
        return [value] * axes
    return list(value) * axes if len(value) == 1 else list(value)


def _argument(node: Node, place: int, name: str, default: Any) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)
