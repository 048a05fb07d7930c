"""The prediction itself, without an attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Predict(Method):
    """The model's highest outputs with labels and probabilities; `scores` holds all outputs as the model returns them.

    A class's score is the sum over its places where it has some, its probability the mean. Of a `value` it names the
    first numbers, in their order. Source: the model itself; probabilities are the softmax of logits, the sigmoid of a
    binary or multilabel output, or the outputs where they are probabilities.
    """

    citation = "the model's own output"
    question = "What does the model predict?"
    kind = "scores"
    takes_target = False
    revision = 2
    reduced = True

    top: int = Field(default=5, ge=1, le=1000, description="How many of the highest outputs are named.")

    def explain(self, model: Function, batch: Batch) -> Scores:
        return Scores(
            {"scores": model.outputs(batch)},
            info=[{"prediction": ranking} for ranking in model.prediction(batch, self.top)],
        )
