"""Conservation: whether an explanation adds up to what it explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline
from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Judged, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class Conservation(Method):
    """By how much the sum of the attributions misses the score, in shares of the score (S4 13.3.1).

    `scores` is |sum - expected| / |expected| (absolute where that is 0); `sums` and `expected` are what is compared,
    `absolute` the sum of magnitudes (of a text those of its tokens), which a good explanation keeps bounded (equation
    13.4). Over a dataset, means of these. Source: S4 13.3.1.
    """

    kind = "scores"
    citation = "Montavon 2019, Gradient-based vs. propagation-based explanations: an axiomatic comparison"
    question = "Do the attributions add up to the score?"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    revision = 2

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    baseline: Baseline | None = Field(
        default=None,
        description=f"Expect the difference to the score of this input, as integrated_gradients and deep_lift promise; "
        f"by default the score itself. {DESCRIPTION}",
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        one = sum(method.passes(at) for method in self.of) + 1
        return one * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.methods.nested.attributions import refuse

        refuse(model, self.of)

    def explain(self, model: Function, batch: Batch) -> Scores:
        from workers.methods.evaluation.conservation.compute import conserved
        from workers.methods.nested.evaluation import judge

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            return conserved(model, rows, self.of, self.baseline)

        return judge(model, batch, self, measure, {"better": "lower", "measure": "relative gap"})
