"""Selectivity: whether an explanation changes with the class that it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Judged, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class Selectivity(Method):
    """Spearman's rank correlation between the map of the class and those of the strongest other ones, channels summed.

    `scores` is the mean over the others: 1 for a method that is blind to the target, as one that shows what the input
    looks like. `others` (methods, classes) holds each. A map without variation correlates 0 with all. Raises
    MethodNotApplicable for a model without several classes. Source: S4 8.5.2; Mahendran, Vedaldi 2016.
    """

    kind = "scores"
    citation = "Mahendran, Vedaldi 2016, Salient deconvolutional networks; book ch. 8.5.2"
    question = "Is the explanation of this class, or the same whatever the class?"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    revision = 2

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    others: int = Field(default=3, ge=1, le=100, description="How many other classes, those of the highest scores.")
    magnitudes: bool = Field(default=False, description="Compare magnitudes; else values with their signs.")
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        others = self.others if at.card is None else min(self.others, max(1, at.card.heads - 1))
        return (1 + others) * sum(method.passes(at) for method in self.of) * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.methods.evaluation.selectivity.compute import check
        from workers.methods.nested.attributions import refuse

        refuse(model, self.of)
        check(model)

    def explain(self, model: Function, batch: Batch) -> Scores:
        from workers.methods.evaluation.selectivity.compute import correlations
        from workers.methods.nested.evaluation import judge

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            found = correlations(model, rows, self.of, self.others, self.magnitudes)
            return {"scores": found.mean(2), "others": found}

        return judge(model, batch, self, measure, {"better": "lower", "measure": "mean rank correlation"})
