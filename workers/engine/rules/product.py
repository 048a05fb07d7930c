"""Products of two values of the input, one often the gate of the other (S4 Table 11.1, l.3943)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from workers.engine.graph.tape import Local
from workers.engine.rules.rule import fit, stabilise
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
