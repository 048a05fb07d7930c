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

    def run(self, term: Term) -> tuple[Tensor, Tensor]:
        """The term's input as a leaf, and the node's call on it, connected by autograd."""
        import torch

        leaf = term.input.detach().requires_grad_()
        with torch.enable_grad():
            return leaf, self.call(term._replace(input=leaf))

    def share(self, terms: Sequence[Term], relevance: Tensor, sign: int) -> Tensor:
        """Relevance in proportion to the terms' contributions: sum over terms of input * vjp(relevance / z).

        `sign` is that of z where there is relevance, 1 or -1, of contributions of one sign.
        """
        import torch

        from workers.engine.rules.rule import one_sided

        leaves, outputs = zip(*map(self.run, terms), strict=True)
        with torch.enable_grad():
            z = total(outputs)
        shares = torch.autograd.grad(z, leaves, one_sided(relevance, z.detach(), self.epsilon, sign))
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
    return not a.numel() or bool(a.amin() >= 0)


def split_by_sign(
    a: Tensor, towards: tuple[Tensor, Tensor | None], against: tuple[Tensor, Tensor | None]
) -> list[Term]:
    """a's positive part with one pair of weights and its negative part with the other; one term where a has no sign."""
    if is_positive(a):
        return [Term(a, *towards)]
    return [Term(a.clamp(min=0), *towards), Term(a.clamp(max=0), against[0], None)]
