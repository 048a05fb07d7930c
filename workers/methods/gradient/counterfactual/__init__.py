"""Counterfactual: the least change of the input with which the model decides otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Attribution, Check
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Counterfactual(Method):
    """A change of the input, small in the Euclidean norm, that takes the score to `level` (S4 l.638).

    Shape of the input; in its units. Of a class among several the score is its lead over another, `rivals` of which are
    tried, and the least change is told: at 0 the two are even. Found by Newton's steps along the gradient, within the
    input's range; where the score is linear and the range is wide it is the least there is, |f - level| / |w|. The
    check is the score that was reached, the info `to` (the class that it changes to), its length and `reached`. Raises
    MethodNotApplicable where the model gives no slope. Source: S4 l.638; Wachter, Mittelstadt, Russell 2017;
    Moosavi-Dezfooli, Fawzi, Frossard 2016.
    """

    citation = "Wachter, Mittelstadt, Russell 2017, Counterfactual explanations; Moosavi-Dezfooli et al. 2016, DeepFool"
    question = "What is the least that would have to be different for another decision?"
    needs = frozenset({"gradients"})
    cost = "hundreds of passes"

    level: float = Field(
        default=0.0, ge=-1e6, le=1e6, description="The score, or of a class its lead over another, that is sought."
    )
    rivals: int = Field(
        default=5, ge=1, le=100, description="Of a class among several: how many others are tried, the strongest."
    )
    steps: int = Field(default=50, ge=1, le=1000, description="Steps at most.")

    def passes(self, at: Extent, /) -> int:
        others = self.rivals if at.card is None else min(self.rivals, at.card.heads - 1)
        return (self.steps + 1) * (2 * others if others else 1)  # of a lead, both classes are walked back from

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.methods.gradient.counterfactual.compute import nearest

        found = nearest(model, batch, self.level, self.rivals, self.steps)
        checks = [(Check("level", self.level, score),) for score in found.scores]
        return Attribution({"attribution": found.change}, checks, found.info)
