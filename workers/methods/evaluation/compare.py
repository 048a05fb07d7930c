"""Compare: how alike the explanations of several methods are."""

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


class Compare(Method):
    """Spearman's rank correlation between the attributions of each two methods, channels summed.

    `matrix` (methods, methods) holds the correlations, `scores` each method's mean with the others (1 of one alone). A
    map without variation correlates 0 with all. Of texts their own tokens are compared. Source: Spearman 1904; used
    so in S0 Fig. 7.
    """

    kind = "scores"
    citation = "Spearman 1904, The proof and measurement of association between two things"
    question = "Which methods agree, and which say something of their own?"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    revision = 2

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    magnitudes: bool = Field(default=False, description="Compare magnitudes; else values with their signs.")
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        one = sum(method.passes(at) for method in self.of)
        return one * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.methods.nested.attributions import refuse

        refuse(model, self.of)

    def explain(self, model: Function, batch: Batch) -> Scores:
        import torch

        from workers.methods.nested.attributions import attributions
        from workers.methods.nested.evaluation import judge
        from workers.methods.nested.own_places import ranked
        from workers.methods.nested.ranks import correlation

        others = max(1, len(self.of) - 1)
        alone = len(self.of) == 1

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            order = ranked(model, rows, attributions(model, rows, self.of), self.magnitudes, channels=True)
            matrix = torch.stack([correlation(one[:, None], one[None]) for one in order])
            own = matrix.diagonal(dim1=1, dim2=2)
            return {"scores": own if alone else (matrix.sum(2) - own) / others, "matrix": matrix}

        return judge(model, batch, self, measure, {"better": None, "measure": "mean rank correlation"})
