"""What the rules of nodes with constant weights have in common: dense layers and convolutions (S4 l.3691, Table 10.1).

In each, z_k is what the rule counts as the output of unit k, and the relevance R_k is shared in proportion to the
contributions to z_k. Weights are modified once per node and kept. Imported where torch is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from operator import add
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.graph.graph import Node


class Term(NamedTuple):
    """One summand of z: the node's call on these instead of its own input, weight and bias."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None


class Linear:
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
        import torch

        from workers.engine.rules.rule import quotient

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
    return reduce(add, tensors)


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
