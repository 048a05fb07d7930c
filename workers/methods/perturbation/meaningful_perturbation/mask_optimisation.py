"""Masks found by descent: the least to take away of an input, or to leave of it, for the score to fall or to stay."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.explanation.target import Target
from workers.methods.perturbation.meaningful_perturbation.fills import Erase
from workers.methods.perturbation.meaningful_perturbation.smooth_masks import Cells, shifts, variation

ENOUGH = 0.99  # of the score is taken away, or left, by the first mask: S4 8.3.3


@dataclass(frozen=True)
class Game:
    """Deletion minimises score + area * |1 - mask| + smoothness * variation; preservation has -score and |mask|."""

    model: Model
    wanted: Sequence[Target]
    cells: Cells
    erase: Erase
    preserve: bool
    probability: bool
    area: float
    smoothness: float
    power: float

    def score(self, rows: Tensor, x: Tensor) -> Tensor:
        return self.model.scores(x, [self.wanted[row] for row in rows], self.probability)

    def slope(self, rows: Tensor, mask: Tensor, moved: Tensor) -> Tensor:
        """The gradient of what is minimised at the masks (k, *cells) of some rows."""
        leaf = mask.detach().requires_grad_()
        with torch.enable_grad():
            score = self.score(rows, self.erase(rows, self.cells.mask(leaf, moved)))
            extent = (leaf if self.preserve else 1 - leaf).flatten(1).sum(1)
            loss = (-score if self.preserve else score) + self.area * extent
            loss = loss + self.smoothness * variation(leaf, self.power)
        return torch.autograd.grad(loss.sum(), leaf)[0]


class Start(NamedTuple):
    """The first masks (n, *cells), and the scores of the inputs whole and with everything taken away, (n,)."""

    masks: Tensor
    whole: Tensor
    nothing: Tensor


class Found(NamedTuple):
    """The masks at the places (one channel), the inputs under them, and their scores (n,)."""

    masks: Tensor
    erased: Tensor
    scores: Tensor


def begin(game: Game, batch: Batch, question: Hashable) -> Start:
    """For each row the smallest centred ball that, taken away, suppresses the score, or, left, keeps it.

    Where taking everything away does not lower the score, there is nothing to take away, nor to leave.
    """
    distance, steps = game.cells.distance(), max(game.cells.counts)
    radii = torch.tensor([*(step / steps for step in range(steps + 1)), 2.0]).to(distance)
    inside = (distance < radii.view(-1, *[1] * distance.dim())).to(distance.dtype)
    balls = inside if game.preserve else 1 - inside

    def alter(rows: Tensor, points: Tensor) -> Tensor:
        return game.erase(rows, game.cells.mask(balls[points]))

    copies = Copies.of_each(len(batch), len(balls), alter)
    scores = altered_scores(game.model, batch, copies, game.probability, question).view(len(batch), -1)
    nothing, whole = (scores[:, 0], scores[:, -1]) if game.preserve else (scores[:, -1], scores[:, 0])
    left = (scores - nothing[:, None]) / (whole - nothing).clamp(min=1e-12)[:, None]
    reached = left >= ENOUGH if game.preserve else left <= 1 - ENOUGH
    return Start(balls[torch.where(whole > nothing, reached.int().argmax(1), 0)], whole, nothing)


def play(
    game: Game, batch: Batch, start: Tensor, steps: int, rate: float, jitter: int, sources: Sequence[torch.Generator]
) -> Found:
    """The masks after steps of Adam from the first ones; rows go down side by side, each for itself."""
    groups = torch.split(torch.arange(len(batch)), game.model.chunk)
    found = []
    for done, rows in enumerate(groups):
        mask = start[rows].clone()
        descent = torch.optim.Adam([mask], lr=rate)
        for step in range(steps):
            moved = shifts(jitter, mask.dim() - 1, [sources[row] for row in rows])
            mask.grad = game.slope(rows, mask, moved)
            descent.step()
            mask.clamp_(0, 1)
            batch.report(done * steps + step + 1, len(groups) * steps, "steps")
        with torch.no_grad():
            spread = game.cells.mask(mask)
            erased = game.erase(rows, spread)
            found.append((spread, erased, game.score(rows, erased)))
    return Found(*(torch.cat(parts) for parts in zip(*found, strict=True)))
