"""Coalitions: which segments of an input are shown, and what the model scores then."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.engine.perturbation.maps import over_channels
from workers.engine.perturbation.segments import Segments
from workers.explanation.errors import InvalidParameter

PER_PLAYER = 4  # coalitions drawn: two pairs of complements


class Coalitions(Protocol):
    """Rows of zeros and ones (points, players), some at a time: a bool tensor is one."""

    def __len__(self) -> int: ...
    def __getitem__(self, points: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Prefixes:
    """Nobody, everybody, and then each order's players entering one after the other, but for the last.

    `ranks` (orders, players) says when each player enters. Made where read: all of them at once may be too many.
    """

    ranks: Tensor

    def __len__(self) -> int:
        orders, players = self.ranks.shape
        return 2 + orders * (players - 1)

    def __getitem__(self, points: Tensor, /) -> Tensor:
        players = self.ranks.shape[1]
        steps = (points - 2).clamp(min=0)
        last = max(1, players - 1)
        entered = torch.where(points < 2, points * players, steps % last + 1)
        return self.ranks[steps // last] < entered[:, None]


def every(players: int) -> Tensor:
    """All coalitions (2^players, players); the k-th holds player j where bit j of k is set."""
    codes = torch.arange(2**players)
    return (codes[:, None] >> torch.arange(players)) & 1 == 1


def halves(players: int, samples: int, generator: torch.Generator) -> Tensor:
    """Everybody, and then coalitions that each player is in with probability one half: (samples, players)."""
    drawn = torch.rand(samples, players, generator=generator) < 0.5
    drawn[0] = True
    return drawn


def pairs(players: int, samples: int, generator: torch.Generator) -> Tensor:
    """Every coalition, where they are no more than `samples`; else as many drawn from the Shapley kernel.

    Those begin with nobody and everybody, and each is followed by its complement. Raises InvalidParameter for samples
    too few to tell the players apart.
    """
    if 2**players <= samples:
        return every(players)
    if samples < PER_PLAYER * players:
        raise InvalidParameter(
            f"{samples} samples cannot tell {players} segments apart; use at least {PER_PLAYER * players}, or fewer "
            "segments",
            pointer="/method/samples",
        )
    sizes = torch.arange(1, players, dtype=torch.float64)
    drawn = torch.multinomial(1 / (sizes * (players - sizes)), samples // 2 - 1, replacement=True, generator=generator)
    members = _ranks(len(drawn), players, generator) <= drawn[:, None]
    ends = torch.tensor([[False], [True]]).expand(2, players)
    return torch.cat([ends, torch.stack([members, ~members], 1).flatten(0, 1)])


def orders(players: int, samples: int, generator: torch.Generator) -> Tensor | Prefixes:
    """Every coalition, where they are no more than the prefixes of `samples` orders; else those, orders in pairs.

    The second order of a pair is the first one's reverse.
    """
    if 2**players <= 2 + samples * (players - 1):
        return every(players)
    ranks = _ranks(samples // 2, players, generator)
    return Prefixes(torch.stack([ranks, players - 1 - ranks], 1).flatten(0, 1))


def play(
    model: Function,
    batch: Batch,
    question: Hashable,
    cut: Segments,
    coalitions: Sequence[Coalitions],
    fill: Tensor,
    probability: bool,
) -> list[NDArray[np.float64]]:
    """Each row's scores for its coalitions: the segments of others are filled.

    `fill` (n, k, *shape) holds k fills of each row; a score is the mean over them.
    """
    fills = fill.shape[1]

    def alter(rows: Tensor, each: Tensor) -> Tensor:
        altered = batch.x[rows]
        points, chosen = each // fills, each % fills
        for row in sorted(set(rows.tolist())):
            at = (rows == row).nonzero()[:, 0]
            # Rows are padded to the longest: the last coalition is asked again.
            shown = coalitions[row][points[at].clamp(max=len(coalitions[row]) - 1)].to(batch.x.device)
            visible = over_channels(shown[:, cut.labels[row]], cut.spec)
            altered[at] = torch.where(visible, batch.x[row], fill[row, chosen[at]])
        return altered

    longest = max(map(len, coalitions))
    copies = Copies.of_each(len(batch), longest * fills, alter)
    found = altered_scores(model, batch, copies, probability, question).double()
    scores = found.view(len(batch), longest, fills).mean(2).cpu().numpy()
    return [row[: len(those)] for row, those in zip(scores, coalitions, strict=True)]


def _ranks(count: int, players: int, generator: torch.Generator) -> Tensor:
    """Random orders (count, players): when each player enters."""
    return torch.rand(count, players, generator=generator).argsort(1)
