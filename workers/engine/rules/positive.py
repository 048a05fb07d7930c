"""Positive contributions alone, through nodes without weights of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workers.engine.graph.tape import Local
from workers.engine.rules.rule import stabilise


class Positive:
    """z+ for a sum, an average or a normalisation: relevance in proportion to what adds to each output.

    So relevance that is nowhere negative stays so. What a positive constant adds is lost, as to a bias.
    """

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def backward(self, local: Local, relevance: Tensor) -> Sequence[Tensor | None]:
        with torch.enable_grad():
            leaves = [part.requires_grad_() for part in self._adding(local)]
            constant = self._run(local, [torch.zeros_like(leaf) for leaf in leaves]).detach()
            z = self._run(local, leaves) - constant + constant.clamp(min=0)
        rounding = 4 * torch.finfo(z.dtype).eps * constant.abs()
        adding = torch.where(z.detach() > rounding, z.detach(), 0.0)
        part = relevance / stabilise(adding, self.epsilon)
        shares = torch.autograd.grad(z, leaves, part, materialize_grads=True, allow_unused=True)
        return [leaf.detach() * share for leaf, share in zip(leaves, shares, strict=True)]

    def _adding(self, local: Local) -> list[Tensor]:
        """Each leaf's part that raises the output: what is positive, or negative under a negative factor."""
        slopes = local.vjp(torch.ones_like(local.output))
        return [
            (
                leaf.clamp(min=0) if slope is None else torch.where(slope >= 0, leaf.clamp(min=0), leaf.clamp(max=0))
            ).detach()
            for leaf, slope in zip(local.leaves, slopes, strict=True)
        ]

    def _run(self, local: Local, leaves: Sequence[Tensor]) -> Tensor:
        given: dict[int, Any] = {i: local.values[i] for i in local.node.inputs}
        given |= dict(zip(local.inputs, leaves, strict=True))
        output: Tensor = local.node.run(given)
        return output
