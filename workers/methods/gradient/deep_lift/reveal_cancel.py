"""DeepLIFT's RevealCancel, with the Linear rule that it needs: positive and negative contributions kept apart.

(Shrikumar et al. 2017, 3.4 and 3.5.3; S3 Fig. 14.) The difference of an affine node's unit is the sum of what its
inputs contribute; `spread` is the sum of their absolute values, so the positive ones sum to (difference + spread) / 2
and the negative ones to (difference - spread) / 2. A nonlinearity gives each its own multiplier; half of their
difference waits at the affine node for the walk, which gives each input the multiplier of its contribution's sign.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Node
from workers.engine.graph.tape import Local
from workers.engine.rules.matching import is_linear
from workers.methods.gradient.deep_lift.baseline_pass import Contrast
from workers.methods.gradient.deep_lift.rules import PRODUCTS, Elementwise, Lifting, negligible


class Signs:
    """What is known of the signs of contributions in one walk over a contrast.

    `moving` are the nodes whose value depends on the input, `affine` those of them that sum what they are given.
    """

    def __init__(self, contrast: Contrast, moving: Collection[int], affine: Collection[int]) -> None:
        self.contrast = contrast
        self.moving = moving
        self.affine = {i for i in affine if _has_leaves(contrast.tape.locals[i])}
        self._waiting: dict[int, Tensor] = {}
        self._summed: dict[int, tuple[list[Tensor], Tensor]] = {}

    def spread(self, index: int) -> Tensor:
        """The sum of the absolute contributions to each unit of a node; of one that sums nothing, its difference's."""
        if index not in self.affine:
            return self.contrast.difference(index).abs()
        return self._sums(index)[1].detach()

    def hand(self, index: int, mean: Tensor, half: Tensor) -> Tensor:
        """The multiplier for a node, of the mean and half the difference of those of positive and negative parts."""
        if index not in self.affine:
            return mean + self.contrast.difference(index).sign() * half
        self._waiting[index] = self._waiting[index] + half if index in self._waiting else half
        return mean

    def take(self, index: int) -> Tensor | None:
        """What waits at a node."""
        return self._waiting.pop(index, None)

    def inputs_of(self, index: int, half: Tensor) -> Sequence[Tensor | None]:
        """What half the difference becomes for the absolute contributions of each input."""
        leaves, total = self._sums(index)
        return torch.autograd.grad(total, leaves, half, retain_graph=True, allow_unused=True)

    def _sums(self, index: int) -> tuple[list[Tensor], Tensor]:
        """The absolute differences of the inputs, and the absolute contributions that they make, connected."""
        if index not in self._summed:
            local = self.contrast.tape.locals[index]
            assert local is not None
            sizes = [self.spread(i) if carries(local) else self.contrast.difference(i).abs() for i in local.inputs]
            leaves = [
                size.expand_as(leaf).detach().requires_grad_() for size, leaf in zip(sizes, local.leaves, strict=True)
            ]
            with torch.enable_grad():
                self._summed[index] = leaves, self._total(local, leaves)
        return self._summed[index]

    def _total(self, local: Local, sizes: Sequence[Tensor]) -> Tensor:
        """The sum of the absolute contributions of inputs that differ by `sizes`."""
        local = replace(local, node=_unsigned(local.node))
        rest = [
            torch.zeros_like(leaf) if i in self.moving else leaf.detach().abs()
            for i, leaf in zip(local.inputs, local.leaves, strict=True)
        ]
        origin = 0.0 if is_linear(local.node) else self.contrast.again(local, rest)
        moving = [place for place, i in enumerate(local.inputs) if i in self.moving]
        together = [moving] if carries(local) else [[place] for place in moving]
        moved = [
            [size if p in some else still for p, (size, still) in enumerate(zip(sizes, rest, strict=True))]
            for some in together
        ]
        return torch.stack([(self.contrast.again(local, leaves) - origin).abs() for leaves in moved]).sum(0)


def _has_leaves(local: Local | None) -> bool:
    return local is not None and local.item is None and isinstance(local.output, Tensor)


def carries(local: Local) -> bool:
    """Whether every unit of an affine node has one input at most, whose positive and negative parts it takes over."""
    op = local.node.op
    one = op in ops.ADDITION or op in ops.SCALING
    return op in ops.ROUTING or op in ops.BATCH_NORM or (one and len(local.leaves) == 1)


def _unsigned(node: Node) -> Node:
    """The node with the absolute values of what it multiplies with, and without a constant bias."""
    if node.op not in PRODUCTS:
        return node
    args = [a.abs() if isinstance(a, Tensor) else a for a in node.args]
    if node.op in ops.LINEAR and len(args) > 2 and isinstance(args[2], Tensor):
        args[2] = None
    return replace(node, args=tuple(args))


class RevealCancel(Elementwise):
    """The positive and the negative part of the input's difference each get what they do to the output, averaged over
    moving first and moving last.
    """

    def __init__(self, signs: Signs) -> None:
        super().__init__(signs.contrast)
        self.signs = signs

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        def work(x: Tensor, y: Tensor, m: Tensor, spread: Tensor, x0: Tensor, y0: Tensor) -> Sequence[Tensor]:
            up, down = (x - x0 + spread) / 2, (x - x0 - spread) / 2
            y_up, y_down = (self.contrast.again(local, [x0 + part]) for part in (up, down))
            rise, fall = ((y_up - y0) + (y - y_down)) / 2, ((y_down - y0) + (y - y_up)) / 2
            plain, scale = self.derivative(local, x, m), torch.maximum(x0.abs(), spread)
            above, below = (
                torch.where(negligible(part, scale), plain, change.div_(part).mul_(m))
                for change, part in ((rise, up), (fall, down))
            )
            return (above + below) / 2, (above - below) / 2

        index, (x0,), y0 = local.inputs[0], self.contrast.references(local), self.contrast.base[local.node.index]
        spread = self.signs.spread(index)
        return [self.signs.hand(index, *self.in_blocks(work, local, local.output.detach(), relevance, spread, x0, y0))]


class Linear(Lifting):
    """Each input of an affine node gets the multiplier of the positive or of the negative part, as it contributes to
    either; the mean of both where it did not move (Shrikumar et al. 2017, 3.5.1).
    """

    def __init__(self, signs: Signs) -> None:
        super().__init__(signs.contrast)
        self.signs = signs

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        shares, half = local.vjp(relevance), self.signs.take(local.node.index)
        if half is None:
            return shares
        halves = self.signs.inputs_of(local.node.index, half)
        if carries(local):
            return [
                None if share is None else share if part is None else self.signs.hand(i, share, part)
                for i, share, part in zip(local.inputs, shares, halves, strict=True)
            ]
        signs = [self.contrast.difference(i).sign() for i in local.inputs]
        return [
            None if share is None else share if part is None else share + sign * part
            for share, sign, part in zip(shares, signs, halves, strict=True)
        ]
