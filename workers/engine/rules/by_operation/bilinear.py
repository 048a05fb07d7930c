"""Rules for calls that read several values of the input at once: products, attention, quotients (S4 Table 11.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.linearity import is_affine
from workers.engine.graph.tape import Local
from workers.engine.rules.by_operation.passing import Pass
from workers.engine.rules.named.epsilon import by_contribution
from workers.engine.rules.rule import Rule, fit, stabilise
from workers.engine.rules.weightless import Weightless, serves
from workers.explanation.composite import Gate


class Product:
    """Both factors share the relevance: half each, or by z, what they were before their activations.

    prop: R_g = z_g / (z_g + z_s) R; abs: R_g = |z_g| / (|z_g| + |z_s|) R; and so for R_s. `before` says for the
    node of each factor which node's value its z is.
    """

    def __init__(self, gate: Gate, before: Mapping[int, int], epsilon: float) -> None:
        self.gate = gate
        self.before = before
        self.carriers = tuple(before)
        self.epsilon = epsilon

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        shares = dict(zip(self.before, self._shares(local), strict=True))
        return [
            fit(relevance * shares[i], leaf) if i in shares else None
            for i, leaf in zip(local.inputs, local.leaves, strict=True)
        ]

    def _shares(self, local: Local) -> tuple[Tensor | float, Tensor | float]:
        one, other = (local.values[i] for i in self.before.values())
        if self.gate == "half":
            return 0.5, 0.5
        if self.gate == "abs":
            one, other = one.abs(), other.abs()
        total = stabilise(one + other, self.epsilon)
        return one / total, other / total


class Carriers:
    """A call that is linear in each of some of its inputs, the others held constant.

    Each of those carries an equal share of the relevance, by contribution. For attention the values alone carry, the
    weights are held: this conserves, which the derivative through the softmax does not (Ali et al. 2022; the equal
    split of a product of two signals is that of Achtibat et al. 2024).
    """

    def __init__(self, carriers: Sequence[int], epsilon: float) -> None:
        self.carriers = tuple(carriers)
        self.epsilon = epsilon

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        leaves = {i: leaf for i, leaf in zip(local.inputs, local.leaves, strict=True) if i in self.carriers}
        if not leaves:
            return [None] * len(local.inputs)
        part = relevance / stabilise(local.output.detach(), self.epsilon) / len(leaves)
        shares = torch.autograd.grad(local.output, list(leaves.values()), part, retain_graph=True)
        found = {i: leaf.detach() * share for (i, leaf), share in zip(leaves.items(), shares, strict=True)}
        return [found.get(i) for i in local.inputs]


class Carrier:
    """Relevance goes unchanged to the value that others scale elementwise; to several such in equal parts."""

    def __init__(self, carriers: Sequence[int]) -> None:
        self.carriers = tuple(carriers)

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        part = relevance if len(self.carriers) == 1 else relevance / len(self.carriers)
        return [
            fit(part, leaf) if i in self.carriers else None for i, leaf in zip(local.inputs, local.leaves, strict=True)
        ]


@serves({"neg"})
def negated(_: Weightless) -> Rule:
    """Relevance has no sign of the value's."""
    return Pass()


@serves({"div"})
def divided(of: Weightless) -> Rule:
    """To what is divided, where that comes from the input."""
    return Carrier(of.flowing(of.node.args[0]) or of.sources)


@serves({"mul"})
def multiplied(of: Weightless) -> Rule:
    """To the signals, the gates held constant; or shared among both, where the request has chosen so."""
    choices = of.structure.choices
    if choices.gate != "all" and len(of.sources) == 2:
        stabiliser = of.entry.epsilon if choices.stabiliser is None else choices.stabiliser
        return Product(choices.gate, {i: of.structure.before(i) for i in of.sources}, stabiliser)
    return Carrier(of.structure.gates.signals(of.node, of.sources))


@serves(ops.BILINEAR)
def bilinear(of: Weightless) -> Rule:
    """By contribution to the signals; of attention, to the values."""
    attention = of.node.op == "scaled_dot_product_attention"
    signals = of.flowing(of.node.args[2]) if attention else of.structure.gates.signals(of.node, of.sources)
    return Carriers(signals, of.entry.epsilon)


@serves(ops.AFFINE_IN_EACH)
def added_product(of: Weightless) -> Rule | None:
    """By contribution, where no two factors come from the input."""
    factors = set(of.flowing(list(of.node.args[1:3])))
    return by_contribution(of.entry) if len(factors) < 2 or is_affine(of.node, of.structure.graph) else None
