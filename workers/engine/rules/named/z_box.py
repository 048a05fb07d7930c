"""z^B (Montavon et al. 2017; S4 Table 10.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from workers.engine.rules.entry import EPSILON, Entry, Epsilon_
from workers.engine.rules.linear import Linear, Term, total
from workers.explanation.errors import Instead, InvalidParameter

if TYPE_CHECKING:
    from torch import Size, Tensor

    from workers.engine.graph.graph import Graph, Node
    from workers.engine.graph.rows import Rows
    from workers.engine.graph.tape import Local
    from workers.engine.rules.rule import Rule


class ZBoxEntry(Entry):
    """z^B: for inputs within a box; `low` and `high` are the card's range of the input unless given."""

    rule: Literal["z_box"] = "z_box"
    low: float | None = None
    high: float | None = None
    epsilon: Epsilon_ = EPSILON

    def bind(self, node: Node, graph: Graph, bounds: tuple[Tensor, Tensor] | None) -> Rule:
        from workers.engine.rules.boxes import seen_from

        given = self.low is not None and self.high is not None
        seen = bounds if given or bounds is None else seen_from(graph, node, bounds)
        low, high = _range(self.low, self.high, seen, node)
        return ZBox(node, self.epsilon, low, high)


class ZBox(Linear):
    """R_j = sum_k (x_j w_jk - l_j w_jk^+ - h_j w_jk^-) / z_k R_k, for inputs within [low, high].

    With w^- = w - w^+ that is (x - h) times the relevance carried back by w, and (h - l) times that by w^+.
    """

    def __init__(self, node: Node, epsilon: float, low: Tensor, high: Tensor) -> None:
        super().__init__(node, epsilon)
        self.low = low
        self.high = high
        self._floors: dict[Size, Tensor] = {}

    def floor(self, x: Tensor) -> Tensor:
        """What the node's output has beyond z (1, *its shape): the bias and the corners of the box; kept by shape."""
        shape = x.shape[1:]
        if shape not in self._floors:
            low, high = (end.expand(len(end) if end.dim() else 1, *shape) for end in (self.low, self.high))
            corners = [Term(low, self.plus[0], self.bias), Term(high, self.minus[0], None)]
            self._floors[shape] = total(self.call(term) for term in corners)
        return self._floors[shape]

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        import torch

        from workers.engine.rules.rule import quotient

        x, rows = local.leaves[0].detach(), local.reads[0]
        floor = _for_each(self.floor(x), local.output, local.node.rows)
        low, high = (_for_each(end, x, rows) for end in (self.low, self.high))
        part = quotient(relevance, local.output.detach() - floor, self.epsilon)
        leaf, z = self.run(Term(x, self.plus[0], None))
        plus, through = torch.autograd.grad(z, leaf, part)[0], local.vjp(part)[0]
        assert through is not None
        return [(x - high) * through + (high - low) * plus]


def _for_each(one: Tensor, like: Tensor, rows: Rows) -> Tensor:
    """What is one row's, as often as a value has rows; what is the same everywhere stays."""
    if rows.plain or one.dim() == 0 or one.shape[1:].numel() == one.numel():
        return one
    return rows.join(rows.split(one).expand_as(rows.split(like)))


def _range(
    low: float | None, high: float | None, box: tuple[Tensor, Tensor] | None, node: Node
) -> tuple[Tensor, Tensor]:
    """The box of z_box: what the entry says, else the model's input range."""
    like = node.args[1]
    if box is None and (low is None or high is None):
        raise InvalidParameter(
            "z_box needs the range of the input, and the model's card has none: give the rule low and high, or add "
            "low and high to [input] of the card",
            pointer="/method/composite",
            instead=[Instead(parameters={"composite": name}) for name in ("epsilon_plus", "epsilon_plus_flat")],
        )
    lowest, highest = box or (like.new_zeros(()), like.new_zeros(()))
    return lowest if low is None else like.new_tensor(low), highest if high is None else like.new_tensor(high)
