"""Minimal deletion: how small a box around the strongest attributions takes the score away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from workers.explanation.perturbation import DESCRIPTION, Baseline, Score
from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Judged, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class MinimalDeletion(Method):
    """The smallest box around the strongest places that, blurred, suppresses the score by a given amount (S4 8.5.3).

    Attributions, channels summed, are scaled to 0..1 and cut at 0, 0.1, .. 1; of the tightest boxes around what is left
    the smallest that reaches an amount in `at` is taken. `curves` (methods, amounts) is its share of the input, 1 where
    only the whole does, `scores` the mean; suppression is (p0 - p) / (p0 - pb), pb the score of the input all blurred.
    `undefined` is 1 where p0 is not above pb. Source: Fong, Vedaldi 2017; S4 8.5.3, Fig. 8.8.
    """

    kind = "scores"
    citation = (
        "Fong, Vedaldi 2017, Interpretable explanations of black boxes by meaningful perturbation; book ch. 8.5.3"
    )
    question = "How small is the region that a method finds and that the score depends on?"
    cost = "tens of passes"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    one_input = "looks for a box in one array"

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    amounts: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1, max_length=100)] = Field(
        default=(0.8, 0.9, 0.95, 0.99), description="How much of the score is to be taken away."
    )
    fill: Baseline = Field(default="blur", description=f"What the box is filled with. {DESCRIPTION}")
    score: Score = "probability"
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        one = sum(method.passes(at) + 11 for method in self.of) + 2
        return one * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.windows import check_score
        from workers.methods.nested.attributions import refuse

        check_score(model, self.score)
        refuse(model, self.of)

    def explain(self, model: Function, batch: Batch) -> Scores:
        import torch

        from workers.methods.evaluation.minimal_deletion.compute import minimal
        from workers.methods.nested.evaluation import judge

        amounts = sorted(self.amounts)

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            return minimal(model, rows, self.of, amounts, self.fill, self.score == "probability")

        axes = {"x": "suppression of the score", "y": "smallest box, share of the input"}
        about = {"better": "lower", "axes": axes, "measure": "smallest box"}
        return judge(model, batch, self, measure, about, {"at": torch.tensor(amounts)})
