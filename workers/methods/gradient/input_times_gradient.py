"""The gradient times the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import Attribution, Check
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class InputTimesGradient(Method):
    """Each feature's value times its gradient: its share of a linear model's score (S4 22.1; Shrikumar et al. 2016).

    Shape of the input; units of score. Sums to the score exactly where the net is piecewise linear without biases.
    """

    citation = "Shrikumar et al. 2016, Not Just a Black Box; book ch. 22.1"
    question = "How much does each feature contribute, taking the model as linear around this input?"
    needs = frozenset({"gradients"})
    reduced = True

    def explain(self, model: Model, batch: Batch) -> Attribution:
        scores, found = model.gradients(batch)
        values = found[0] * batch.x
        sums = values.flatten(1).sum(1).tolist()
        checks = [(Check("completeness", score, total),) for score, total in zip(scores.tolist(), sums, strict=True)]
        return Attribution({"attribution": values}, checks)
