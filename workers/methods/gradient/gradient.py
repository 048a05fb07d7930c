"""The gradient of the target's score with respect to the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Gradient(Method):
    """How the score changes with each input feature, to first order (Simonyan et al. 2014; S3 l.80, S4 9.2).

    Shape of the input; units of score per unit of input.
    """

    citation = "Simonyan, Vedaldi, Zisserman 2014, Deep Inside Convolutional Networks; book ch. 9.2"
    question = "Which input features would change the score most, if changed a little?"
    needs = frozenset({"gradients"})
    reduced = True

    reduce: Literal["none", "abs", "square"] = Field(
        default="none", description="What is done to each value: nothing, its absolute value, or its square."
    )

    def explain(self, model: Model, batch: Batch) -> Attribution:
        values = model.gradients(batch)[1][0]
        return Attribution({"attribution": {"none": values, "abs": values.abs(), "square": values**2}[self.reduce]})
