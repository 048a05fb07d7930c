"""DeepLIFT's rules: multipliers m for which m_x * (x - x0), summed over a node's inputs, is m_y * (y - y0) (S4 9.18).

What is handed back is no relevance but a multiplier, and affine nodes hand it back by their own derivative. Every rule
here keeps that sum exactly, and is the derivative where the input is the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.graph import Ref, substitute
from workers.engine.graph.tape import Local
from workers.engine.rules.rule import fit
from workers.methods.gradient.deep_lift.baseline_pass import Contrast
from workers.methods.gradient.deep_lift.row_blocks import blockwise

PRODUCTS = ops.LINEAR | frozenset(
    {"mul", "matmul", "mm", "bmm", "mv", "dot", "outer", "addmm", "baddbmm", "addmv", "addcmul", "einsum"}
)


class Lifting:
    """A rule bound to the contrast that it is for."""

    def __init__(self, contrast: Contrast) -> None:
        self.contrast = contrast

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        """The multiplier of each of `local.leaves`, from that of the node's output."""
        raise NotImplementedError


class Elementwise(Lifting):
    """A rule for functions of one number."""

    def derivative(self, local: Local, x: Tensor, relevance: Tensor) -> Tensor:
        """The multiplier at x if nothing moves."""
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            y = self.contrast.again(local, [leaf])
        return torch.autograd.grad(y, leaf, relevance)[0]

    def in_blocks(self, work: Callable[..., Sequence[Tensor]], local: Local, *others: Tensor) -> Sequence[Tensor]:
        """work(x, *others), in blocks of rows unless the node holds a constant that differs by row."""
        x = local.leaves[0].detach()
        fixed = [a for a in local.node.args if isinstance(a, Tensor) and a.dim() == x.dim() and len(a) > 1]
        return work(x, *others) if fixed else blockwise(work, x, *others)


class Rescale(Elementwise):
    """m_x = m_y (y - y0) / (x - x0) (Shrikumar et al. 2017, 3.5.1; S4 Prop. 2)."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        def work(x: Tensor, y: Tensor, m: Tensor, x0: Tensor, y0: Tensor) -> Sequence[Tensor]:
            run = x - x0
            near = negligible(run, x0.abs())
            shares = fit((y - y0).div_(run.masked_fill_(near, 1.0)).mul_(m), x)
            return [torch.where(near, self.derivative(local, x, m), shares) if bool(near.any()) else shares]

        (x0,), y0 = self.contrast.references(local), self.contrast.base[local.node.index]
        return self.in_blocks(work, local, local.output.detach(), relevance, x0, y0)


class Rectified(Rescale):
    """Rescale of relu, where no difference but 0 is lost in rounding: it keeps to one line, or crosses the kink."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        def work(x: Tensor, y: Tensor, m: Tensor, x0: Tensor, y0: Tensor) -> Sequence[Tensor]:
            slope = (y - y0).div_(x - x0)
            if bool(slope.sum().isnan()):
                slope = torch.where(slope.isnan(), (y > 0).to(slope), slope)
            return [slope.mul_(m)]

        (x0,), y0 = self.contrast.references(local), self.contrast.base[local.node.index]
        return blockwise(work, local.leaves[0].detach(), local.output.detach(), relevance, x0, y0)


class Halfway(Lifting):
    """The derivative halfway between baseline and input: exact for products of two factors, and for squares.

    There m_a = m_y (b + b0) / 2: the mean of both orders in which the factors could have moved.
    """

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        pairs = zip(local.leaves, self.contrast.references(local), strict=True)
        middles = [((x.detach() + x0) / 2).requires_grad_() for x, x0 in pairs]
        with torch.enable_grad():
            y = self.contrast.again(local, middles)
        return torch.autograd.grad(y, middles, relevance, allow_unused=True)


class Quotient(Lifting):
    """y = a / b as the product a = y b: m_a is m_y over the mean b, m_b that times minus the mean y.

    Where b changed its sign, and its mean may be 0, the whole difference is b's.
    """

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        b, b0 = (substitute(local.node.args[1], values) for values in (self.contrast.tape.values, self.contrast.base))
        y, y0 = local.output.detach(), self.contrast.base[local.node.index]
        share = relevance / (b.abs() + b0.abs())
        of = (share * (b.sign() + b0.sign()), -share * (b.sign() * y0 + b0.sign() * y))
        shares: dict[int, Tensor] = {}
        for argument, part in zip(local.node.args[:2], of, strict=True):
            if isinstance(argument, Ref):
                shares[argument.index] = shares.get(argument.index, 0.0) + part
        return [fit(shares[i], leaf) for i, leaf in zip(local.inputs, local.leaves, strict=True)]


class MaxPool(Lifting):
    """Where a window's maximum rose, its rise belongs to what is the maximum now; where it fell, to what was it then.

    That input moved the same way and at least as far, so no multiplier is larger than m_y. What is the maximum both
    times passes m_y on: before a constant baseline a whole window is, so that rounding would choose otherwise.
    """

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        axes, pool = int(local.node.op[8]), getattr(torch.nn.functional, local.node.op)

        def work(
            x: Tensor, y: Tensor, now: Tensor, m: Tensor, x0: Tensor, y0: Tensor, then: Tensor
        ) -> Sequence[Tensor]:
            then = then.expand_as(now)
            x0_now, x_then = _taken(x0, now, axes), _taken(x, then, axes)
            already, still = negligible(y0 - x0_now, y0.abs()), negligible(y - x_then, y.abs())
            by_now = already | (~still & (y > y0))
            run = torch.where(by_now, y - x0_now, x_then - y0)
            slope = torch.where(already | still, 1.0, (y - y0).div_(run)).mul_(m)
            places = torch.where(by_now, now, then).flatten(-axes)
            return [x.new_zeros(x.shape).flatten(-axes).scatter_add_(-1, places, slope.flatten(-axes)).view_as(x)]

        (x0,), y = self.contrast.references(local), local.output.detach()
        now = getattr(local.output.grad_fn, "_saved_result1", None)  # what autograd keeps spares pooling once more
        if now is None or now.shape != y.shape:
            now = pool(local.leaves[0].detach(), *local.node.args[1:], return_indices=True)[1]
        before = pool(x0, *local.node.args[1:], return_indices=True)
        return blockwise(work, local.leaves[0].detach(), y, now, relevance, x0, *before)


def _taken(values: Tensor, places: Tensor, axes: int) -> Tensor:
    """The values at the places that a pooling names, counted over the last axes."""
    flat = values.flatten(-axes).expand(*places.shape[:-axes], -1)
    return flat.gather(-1, places.flatten(-axes)).view_as(places)


class Winner(Lifting):
    """The same for a maximum of any kind, whose ties share alike."""

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        pairs = zip(local.leaves, self.contrast.references(local), strict=True)
        then = [x0.expand_as(x).detach().requires_grad_() for x, x0 in pairs]
        with torch.enable_grad():
            before = self.contrast.again(local, then)
        m, y, y0 = (v[0] if isinstance(v, Mapping | tuple | list) else v for v in (relevance, local.output, before))
        rise = m * (y - y0).detach()
        risen = self.risen(y.detach(), y0.detach())
        now = torch.autograd.grad(y, local.leaves, torch.where(risen, rise, 0.0), retain_graph=True)
        past = torch.autograd.grad(y0, then, torch.where(risen, 0.0, rise))
        plain = torch.autograd.grad(y, local.leaves, m, retain_graph=True)
        runs = [(x - x0).detach() for x, x0 in zip(local.leaves, then, strict=True)]
        return [
            torch.where(run == 0, still, (a + b) / torch.where(run == 0, 1.0, run))
            for run, a, b, still in zip(runs, now, past, plain, strict=True)
        ]

    def risen(self, y: Tensor, y0: Tensor) -> Tensor:
        return y > y0


class Loser(Winner):
    """The same for a minimum, whose fall belongs to what is the minimum now."""

    def risen(self, y: Tensor, y0: Tensor) -> Tensor:
        return y < y0


def negligible(difference: Tensor, scale: Tensor) -> Tensor:
    """Where a difference of numbers of that size is rounding alone."""
    share: float = torch.finfo(difference.dtype).eps ** (2 / 3)
    return difference.abs() <= share * scale
