"""Rules for nodes that are linear in their input: dense layers and convolutions of every kind (S4 l.3691, Table 10.1).

In each, z_k is what the rule counts as the output of unit k, and the relevance R_k is shared in proportion to the
contributions to z_k. Weights are modified once per node and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.graph.graph import Node
from workers.engine.graph.rows import Rows
from workers.engine.graph.tape import Local
from workers.engine.rules.rule import quotient


class Term(NamedTuple):
    """One summand of z: the node's call on these instead of its own input, weight and bias."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None


class _Linear:
    """A rule bound to a node whose weight and bias are constants."""

    def __init__(self, node: Node, epsilon: float) -> None:
        self.node = node
        self.epsilon = epsilon

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.node.args[1]
        return weight

    @property
    def bias(self) -> Tensor | None:
        return self.node.args[2] if len(self.node.args) > 2 else None

    def call(self, term: Term) -> Tensor:
        output: Tensor = self.node.call(*term, *self.node.args[3:], **self.node.kwargs)
        return output

    def share(self, terms: Sequence[Term], relevance: Tensor) -> Tensor:
        """Relevance in proportion to the terms' contributions: sum over terms of input * vjp(relevance / z)."""
        leaves = [term.input.detach().requires_grad_() for term in terms]
        with torch.enable_grad():
            z = total(self.call(term._replace(input=leaf)) for term, leaf in zip(terms, leaves, strict=True))
        shares = torch.autograd.grad(z, leaves, quotient(relevance, z.detach(), self.epsilon))
        return total(share.mul_(leaf.detach()) for leaf, share in zip(leaves, shares, strict=True))

    @cached_property
    def plus(self) -> tuple[Tensor, Tensor | None]:
        return self.weight.clamp(min=0), None if self.bias is None else self.bias.clamp(min=0)

    @cached_property
    def minus(self) -> tuple[Tensor, Tensor | None]:
        return self.weight.clamp(max=0), None if self.bias is None else self.bias.clamp(max=0)


def total(tensors: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, tensors)


def is_positive(a: Tensor) -> bool:
    """Whether no value is negative."""
    return bool(a.amin() >= 0)


def split_by_sign(
    a: Tensor, towards: tuple[Tensor, Tensor | None], against: tuple[Tensor, Tensor | None]
) -> list[Term]:
    """a's positive part with one pair of weights and its negative part with the other; one term where a has no sign."""
    if is_positive(a):
        return [Term(a, *towards)]
    return [Term(a.clamp(min=0), *towards), Term(a.clamp(max=0), against[0], None)]


class Epsilon:
    """R_j = sum_k a_j w_jk / (z_k + eps sign z_k) R_k; eps absolute, or in standard deviations of z per sample.

    Needs no second forward: z is the node's own output. Serves every node that is linear or
    affine in its inputs, so sums and averages too, which it splits by contribution.
    """

    def __init__(self, epsilon: float, std: float = 0.0) -> None:
        self.epsilon = epsilon
        self.std = std

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        z: Tensor = local.output.detach()
        epsilon: float | Tensor = self.epsilon
        if self.std:
            epsilon = self.epsilon + self.std * _spread(z, local.node.rows)
        shares = local.vjp(quotient(relevance, z, epsilon))
        if len(shares) == 1 and shares[0] is not None and shares[0].is_contiguous():
            return [shares[0].mul_(local.leaves[0].detach())]  # nobody else's memory: of one leaf alone
        return [
            None if share is None else leaf.detach() * share for leaf, share in zip(local.leaves, shares, strict=True)
        ]


class Zero(Epsilon):
    """LRP-0: R_j = sum_k a_j w_jk / z_k R_k; where z_k is zero, R_k is absorbed."""

    def __init__(self) -> None:
        super().__init__(0.0)


def _for_each(one: Tensor, like: Tensor, rows: Rows) -> Tensor:
    """What is one row's, as often as a value has rows; what is the same everywhere stays."""
    if rows.plain or one.dim() == 0 or one.shape[1:].numel() == one.numel():
        return one
    return rows.join(rows.split(one).expand_as(rows.split(like)))


def _spread(z: Tensor, rows: Rows) -> Tensor:
    """The standard deviation of z over what belongs to each row, shaped like it."""
    parts = rows.split(z)
    if parts.dim() < 2:
        return torch.zeros_like(z)
    spread = parts.flatten(1).std(1, correction=0)
    return rows.join(spread.view(-1, *[1] * (parts.dim() - 1)).expand_as(parts))


class ZPlus(_Linear):
    """R_j = sum_k (a_j w_jk)^+ / sum_j (a_j w_jk)^+ R_k, for inputs of either sign; a positive bias counts or not."""

    def __init__(self, node: Node, epsilon: float, bias: bool = True) -> None:
        super().__init__(node, epsilon)
        self.counts_bias = bias

    @property
    def bias(self) -> Tensor | None:
        return super().bias if self.counts_bias else None

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        terms = split_by_sign(local.leaves[0].detach(), self.plus, self.minus)
        return [self.share(terms, relevance)]


class AlphaBeta(_Linear):
    """R_j = sum_k (alpha (a_j w_jk)^+ / z_k^+  -  beta (a_j w_jk)^- / z_k^-) R_k, with alpha - beta = 1."""

    def __init__(self, node: Node, epsilon: float, alpha: float, beta: float) -> None:
        super().__init__(node, epsilon)
        self.alpha = alpha
        self.beta = beta

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        a = local.leaves[0].detach()
        towards = self.share(split_by_sign(a, self.plus, self.minus), relevance * self.alpha)
        if not self.beta:
            return [towards]
        return [towards - self.share(split_by_sign(a, self.minus, self.plus), relevance * self.beta)]


class Gamma(_Linear):
    """R_j = sum_k a_j (w_jk + gamma w_jk^+) / z_k R_k; where the output is negative, w^- is favoured instead."""

    def __init__(self, node: Node, epsilon: float, gamma: float) -> None:
        super().__init__(node, epsilon)
        self.gamma = gamma

    @cached_property
    def more_plus(self) -> tuple[Tensor, Tensor | None]:
        return self._favoured(self.plus)

    @cached_property
    def more_minus(self) -> tuple[Tensor, Tensor | None]:
        return self._favoured(self.minus)

    def _favoured(self, part: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        weight, bias = part
        return (
            self.weight + self.gamma * weight,
            None if bias is None or self.bias is None else self.bias + self.gamma * bias,
        )

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        a = local.leaves[0].detach()
        up = torch.ops.aten.threshold_backward(relevance, local.output.detach(), 0)  # where the output is positive
        down = relevance - up
        result = self.share(split_by_sign(a, self.more_plus, self.more_minus), up)
        if bool(down.any()):
            result += self.share(split_by_sign(a, self.more_minus, self.more_plus), down)
        return [result]


class Flat(_Linear):
    """R_j = sum_k 1 / (number of inputs of k) R_k: every input counts alike."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        ones = Term(torch.ones_like(local.leaves[0][:1]), torch.ones_like(self.weight), None)
        return [self._by_weight(local, ones, relevance)]

    def _by_weight(self, local: Local, term: Term, relevance: Tensor) -> Tensor:
        """Shares by the term's weights alone; z is the same for every sample."""
        leaf = term.input.expand_as(local.leaves[0]).detach().requires_grad_()
        with torch.enable_grad():
            z = self.call(term._replace(input=leaf))
        return torch.autograd.grad(z, leaf, quotient(relevance, z.detach(), self.epsilon))[0]


class WSquare(Flat):
    """R_j = sum_k w_jk^2 / sum_j w_jk^2 R_k."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        squares = Term(torch.ones_like(local.leaves[0][:1]), self.weight.square(), None)
        return [self._by_weight(local, squares, relevance)]


class ZBox(_Linear):
    """R_j = sum_k (x_j w_jk - l_j w_jk^+ - h_j w_jk^-) / z_k R_k, for inputs within [low, high].

    With w^- = w - w^+ that is (x - h) times the relevance carried back by w, and (h - l) times that by w^+.
    """

    def __init__(self, node: Node, epsilon: float, low: Tensor, high: Tensor) -> None:
        super().__init__(node, epsilon)
        self.low = low
        self.high = high
        self._floors: dict[torch.Size, Tensor] = {}

    def floor(self, x: Tensor) -> Tensor:
        """What the node's output has beyond z (1, *its shape): the bias and the corners of the box; kept by shape."""
        shape = x.shape[1:]
        if shape not in self._floors:
            low, high = (end.expand(len(end) if end.dim() else 1, *shape) for end in (self.low, self.high))
            corners = [Term(low, self.plus[0], self.bias), Term(high, self.minus[0], None)]
            self._floors[shape] = total(self.call(term) for term in corners)
        return self._floors[shape]

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        x, rows = local.leaves[0].detach(), local.reads[0]
        floor = _for_each(self.floor(x), local.output, local.node.rows)
        low, high = (_for_each(end, x, rows) for end in (self.low, self.high))
        part = quotient(relevance, local.output.detach() - floor, self.epsilon)
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            z = self.call(Term(leaf, self.plus[0], None))
        plus, through = torch.autograd.grad(z, leaf, part)[0], local.vjp(part)[0]
        assert through is not None
        return [(x - high) * through + (high - low) * plus]
