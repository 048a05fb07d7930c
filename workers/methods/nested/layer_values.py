"""What a machine that is fitted to a layer sees of it, and where its relevance goes."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.model.model import Model
from workers.explanation.inputs import explained


def asked_about(model: Model, at: int, value: Tensor) -> Tensor:
    """Of a layer's values (n, ...) those that distances are of, in float64 (n, d).

    Of several inputs and of ids what is explained: an id is no distance, and context is not asked about.
    """
    return value.flatten(1).double()[:, _columns(model, at)]


def laid_back(model: Model, at: int, relevance: Tensor, like: Tensor) -> Tensor:
    """Relevance of these (n, d) where the layer's values have them, and none of the others."""
    found = torch.zeros_like(like).flatten(1)
    found[:, _columns(model, at)] = relevance.to(found)
    return found.view(like.shape)


def _columns(model: Model, at: int) -> slice | Tensor:
    spec = model.card.input
    if at or not spec.parts:
        return slice(None)
    return torch.cat([torch.arange(part.start, part.stop, device=model.device) for part in explained(spec)])
