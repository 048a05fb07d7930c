"""The gradient of a pass that nobody asks for again, by autograd through the whole graph at once."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.model import target_masks
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.target import UnitTarget


def whole_gradient(model: Model, batch: Batch) -> Tensor:
    """The gradients of the batch's targets at its inputs (n, *shape), as `Model.gradients` has them by its tape.

    A tape would have every node on its own, for which few rows at once pay a tenth of the pass. Targets inside the net
    are left to it.
    """
    wanted = model.resolve(batch)
    if not any(isinstance(target, UnitTarget) for target in wanted):
        x = batch.x.detach().requires_grad_()
        with torch.enable_grad():
            scores = target_masks.output_scores(wanted, model.folded.run(x)[0])
        if scores.requires_grad:
            return torch.autograd.grad(scores.sum(), x)[0]
    return model.gradients(batch)[1][0]
