"""Conservation: whether an explanation adds up to what it explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from workers.baseline import DESCRIPTION, Baseline
from workers.judged import PAIR, UNLESS_DATASET, Judged, Over
from workers.method import Extent, Method, Seed
from workers.result import Scores

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.batch import Batch
    from workers.engine.data import Items
    from workers.engine.model import Model


class Conservation(Method):
    """By how much the sum of the attributions misses the score, in shares of the score (S4 13.3.1).

    `scores` is |sum - expected| / |expected| (absolute where that is 0); `sums` and `expected` are what is compared,
    `absolute` the sum of magnitudes, which a good explanation keeps bounded (equation 13.4). Over a dataset, means of
    these. Source: S4 13.3.1.
    """

    kind = "scores"
    citation = "Montavon 2019, Gradient-based vs. propagation-based explanations: an axiomatic comparison"
    question = "Do the attributions add up to the score?"
    takes_input: ClassVar[bool] = UNLESS_DATASET

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

    def refuse(self, model: Model) -> None:
        from workers.engine.explaining import refuse

        refuse(model, self.of)

    def explain(self, model: Model, batch: Batch) -> Scores:
        from workers.engine.conserving import conserved
        from workers.engine.judging import judge

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            return conserved(model, rows, self.of, self.baseline)

        return judge(model, batch, self, measure, {"better": "lower", "measure": "relative gap"})
