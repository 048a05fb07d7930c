"""The word Rule, and the arithmetic of shares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from workers.engine.graph.tape import Local


class Rule(Protocol):
    """How relevance passes one node."""

    def backward(self, local: Local, relevance: Any) -> Sequence[Tensor | None]:
        """The relevance of each of `local.leaves`, from the relevance of the node's output."""
        ...


def name_of(rule: Rule) -> str:
    """`ZPlus` as `z_plus`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(rule).__name__).lower()


def fit(relevance: Tensor, leaf: Tensor) -> Tensor:
    """Relevance summed over the axes along which the leaf was broadcast."""
    return relevance if relevance.shape == leaf.shape else relevance.sum_to_size(leaf.shape)


def stabilise(z: Tensor, epsilon: float | Tensor) -> Tensor:
    """z moved away from zero by epsilon, with z's sign; zero counts as positive.

    Where that leaves nothing to divide by it is infinite: what has no contributions to be shared by is absorbed.
    """
    step = epsilon if isinstance(epsilon, Tensor) else z.new_full((), epsilon)
    return _divisible(torch.copysign(step, z).add_(z), epsilon)


def _divisible(below: Tensor, epsilon: float | Tensor) -> Tensor:
    least = smallest(below.dtype)
    if isinstance(epsilon, Tensor) or epsilon < least:
        below.masked_fill_(below.abs() < least, torch.inf)
    return below


def smallest(dtype: torch.dtype) -> float:
    """What a quotient may be divided by without leaving the range of numbers."""
    kind = torch.finfo(dtype)
    return float(kind.tiny / kind.eps)


def quotient(relevance: Tensor, z: Tensor, epsilon: float | Tensor) -> Tensor:
    """relevance / stabilise(z, epsilon), both shaped like z."""
    below = stabilise(z, epsilon)
    return torch.div(relevance, below, out=below)


def one_sided(relevance: Tensor, z: Tensor, epsilon: float, sign: int) -> Tensor:
    """`quotient` where z has this sign, but for rounding: twice as fast, for no value is asked. Overwrites z."""
    ends = {"min": 0} if sign > 0 else {"max": 0}
    below = _divisible(z.clamp_(**ends).add_(sign * epsilon), epsilon)
    return torch.div(relevance, below, out=below)
