"""LRP-gamma (Montavon et al. 2019; S4 Table 10.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.engine.rules.entry import EPSILON, Entry, Epsilon_
from workers.engine.rules.linear import Linear, Term, split_by_sign

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.graph.graph import Graph, Node
    from workers.engine.graph.tape import Local
    from workers.engine.rules.rule import Rule


MOST_TOGETHER = 1.0  # of a larger gamma a difference of sums would lose digits


class GammaEntry(Entry):
    """LRP-gamma: positive contributions favoured by the factor 1 + gamma."""

    rule: Literal["gamma"] = "gamma"
    gamma: float = Field(default=0.25, ge=0, le=1e4)
    epsilon: Epsilon_ = EPSILON

    def bind(self, node: Node, _graph: Graph, _bounds: tuple[Tensor, Tensor] | None) -> Rule:
        return Gamma(node, self.epsilon, self.gamma)


class Gamma(Linear):
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
        import torch

        a = local.leaves[0].detach()
        up = torch.ops.aten.threshold_backward(relevance, local.output.detach(), 0)  # where the output is positive
        down = relevance - up
        terms = split_by_sign(a, self.more_plus, self.more_minus)
        if not bool(down.any()):
            return [self.share(terms, up, sign=1)]
        if len(terms) == 1 and self.gamma <= MOST_TOGETHER:
            return [self._both(local, terms[0], up, down)]
        against = split_by_sign(a, self.more_minus, self.more_plus)
        return [self.share(terms, up, sign=1) + self.share(against, down, sign=-1)]

    def _both(self, local: Local, term: Term, up: Tensor, down: Tensor) -> Tensor:
        """For inputs of no sign: favouring w^+ and favouring w^- add up to (2 + gamma) w, so one of them will do."""
        import torch

        from workers.engine.rules.rule import one_sided

        leaf, z = self.run(term)
        twice = 2 + self.gamma
        below = local.output.detach() * twice - z.detach()
        part_up, part_down = one_sided(up, z.detach(), self.epsilon, 1), one_sided(down, below, self.epsilon, -1)
        through = local.vjp(part_down)[0]
        assert through is not None
        back = torch.autograd.grad(z, leaf, part_up - part_down)[0]
        return back.add_(through, alpha=twice).mul_(leaf.detach())
