"""Flat and w squared: shares that no value decides (S4 Table 10.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from workers.engine.rules.entry import EPSILON, Entry, Epsilon_
from workers.engine.rules.linear import Linear, Term

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.graph.graph import Graph, Node
    from workers.engine.graph.tape import Local
    from workers.engine.rules.rule import Rule


class FlatEntry(Entry):
    """Flat: every input of a unit alike."""

    rule: Literal["flat"] = "flat"
    epsilon: Epsilon_ = EPSILON

    def bind(self, node: Node, _graph: Graph, _bounds: tuple[Tensor, Tensor] | None) -> Rule:
        return Flat(node, self.epsilon)

    def alike(self, node: Node, sources: Sequence[int]) -> Rule:
        from workers.engine.rules.by_operation import alike

        return alike.Flat(node, self.epsilon, sources)


class WSquareEntry(Entry):
    """w squared: by the squared weights."""

    rule: Literal["w_square"] = "w_square"
    epsilon: Epsilon_ = EPSILON

    def bind(self, node: Node, _graph: Graph, _bounds: tuple[Tensor, Tensor] | None) -> Rule:
        return WSquare(node, self.epsilon)

    def alike(self, node: Node, sources: Sequence[int]) -> Rule:
        from workers.engine.rules.by_operation import alike

        return alike.WSquare(node, self.epsilon, sources)


class Flat(Linear):
    """R_j = sum_k 1 / (number of inputs of k) R_k: every input counts alike.

    So do the units of a group, which read the same: their relevance goes back as one unit's.
    """

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        import torch

        from workers.engine.graph import ops

        groups, axis = ops.groups(self.node.op, self.node.args), relevance.dim() + 1 - self.weight.dim()
        unit = self.weight[:, :1] if ops.channel_axis_of_weight(self.node.op, self.node.args) else self.weight[:groups]
        ones = Term(torch.ones_like(local.leaves[0][:1]), torch.ones_like(unit), None)
        units = relevance.reshape(*relevance.shape[:axis], groups, -1, *relevance.shape[axis + 1 :])
        return [self._by_weight(local, ones, units.sum(axis + 1))]

    def _by_weight(self, local: Local, term: Term, relevance: Tensor) -> Tensor:
        """Shares by the term's weights alone; z is the same for every sample."""
        import torch

        from workers.engine.rules.rule import quotient

        leaf, z = self.run(term._replace(input=term.input.expand_as(local.leaves[0])))
        return torch.autograd.grad(z, leaf, quotient(relevance, z.detach(), self.epsilon))[0]


class WSquare(Flat):
    """R_j = sum_k w_jk^2 / sum_j w_jk^2 R_k."""

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        import torch

        squares = Term(torch.ones_like(local.leaves[0][:1]), self.weight.square(), None)
        return [self._by_weight(local, squares, relevance)]
