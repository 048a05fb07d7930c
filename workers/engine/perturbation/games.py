"""Games: the segments of an input are the players, and the score of an input that shows only some is what they win."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

import torch

from workers.engine.model.batch import Batch
from workers.engine.model.function import Function
from workers.engine.perturbation import coalitions
from workers.engine.perturbation.baselines import fills
from workers.engine.perturbation.coalitions import Coalitions
from workers.engine.perturbation.segments import Segments, segments
from workers.engine.perturbation.surrogate import Fit, Floats
from workers.explanation.perturbation import Baseline, Cut
from workers.explanation.result import Attribution, Check

C = TypeVar("C", bound=Coalitions)
Draw: TypeAlias = Callable[[int, int, torch.Generator], C]  # (players, samples, generator)


class Game(Protocol):
    """The parameters of a method whose players are segments."""

    @property
    def segments(self) -> Cut | None: ...
    @property
    def count(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def fill(self) -> Baseline: ...
    @property
    def value(self) -> float: ...
    @property
    def score(self) -> str: ...
    def __hash__(self) -> int: ...


def solved(model: Function, batch: Batch, game: Game, draw: Draw[C], fit: Callable[[C, Floats], Fit]) -> Attribution:
    """Coalitions of each row's segments drawn and scored, and a value fitted to each segment.

    A fit that promises completeness is checked: its values sum to f(input) - f(fill).
    """
    cut = segments(model, batch, game.segments, game.count)
    drawn = [draw(players, game.samples, g) for players, g in zip(cut.counts, batch.generators(), strict=True)]
    fill = fills(model, batch, game.fill, game.value)
    scores = coalitions.play(model, batch, game, cut, drawn, fill, game.score == "probability")
    fits = [fit(those, won) for those, won in zip(drawn, scores, strict=True)]
    return Attribution(
        {
            "attribution": cut.spread([fit.values for fit in fits], batch.x.dtype),
            "standard_error": cut.spread([fit.errors for fit in fits], batch.x.dtype),
            "segments": cut.labels.int(),
        },
        [_checks(fit) for fit in fits],
        [_info(cut, len(those), fit) for those, fit in zip(drawn, fits, strict=True)],
    )


def _checks(fit: Fit) -> tuple[Check, ...]:
    return () if fit.total is None else (Check("completeness", fit.total, float(fit.values.sum())),)


def _info(cut: Segments, coalitions: int, fit: Fit) -> dict[str, Any]:
    told = {
        "cut": cut.cut,
        "segments": len(fit.values),
        "coalitions": coalitions,
        "standard_error": float(fit.errors.mean()),
    }
    return told if fit.r2 is None else {**told, "r2": fit.r2}
