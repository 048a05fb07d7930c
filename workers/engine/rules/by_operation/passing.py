"""Nodes that hand relevance on as it is: activations, scaling, and calls that only move values about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from workers.engine.graph import ops
from workers.engine.graph.tape import Local
from workers.engine.rules.rule import Rule, fit
from workers.engine.rules.weightless import Weightless, serves


class Gradient:
    """The node's own derivative: relevance is a cotangent. Right for gradients, and wherever a node only moves values
    about (reshapes, concatenation, maximum pooling: the winner takes all)."""

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        return local.vjp(relevance)


class Pass:
    """Relevance passes unchanged: elementwise activations, and scaling by a constant (S4 ch. 10)."""

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        return [fit(relevance, leaf) for leaf in local.leaves]


@serves(ops.ACTIVATION | ops.ELEMENTWISE | {"softmax", "rms_norm"})
def elementwise(of: Weightless) -> Rule | None:
    """Of one value of the input alone."""
    return Pass() if len(of.sources) == 1 else None


@serves(ops.ROUTING)
def moved(_: Weightless) -> Rule:
    """Values go where they came from."""
    return Gradient()
