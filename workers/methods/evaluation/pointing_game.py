"""The pointing game: whether the strongest place lies on the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.fields.judged import MIDDLE, PAIR, UNLESS_DATASET, Box, Judged, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class PointingGame(Method):
    """Whether the place with the greatest attribution, channels summed, lies on the object: 1 or 0 (S4 l.415).

    Where several places share the greatest value, the share of them on the object, so that an even map gains nothing.
    Over a dataset, the share of hits, of its boxes or else its masks. A low share may be the model's fault: it may look
    at the context. Raises InvalidParameter for a dataset with neither. Source: Zhang et al. 2018; S4 l.415.
    """

    kind = "scores"
    citation = "Zhang et al. 2018, Top-down neural attention by excitation backprop"
    question = "Does a method point at the object?"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    revision = 2

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    box: Box = MIDDLE
    margin: int = Field(default=0, ge=0, le=100, description="How many places beside the object still count as on it.")
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        one = sum(method.passes(at) for method in self.of)
        return one * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.methods.nested.attributions import refuse
        from workers.methods.nested.object_boxes import check

        check(model)
        refuse(model, self.of)

    def explain(self, model: Function, batch: Batch) -> Scores:
        from workers.methods.nested.evaluation import judge
        from workers.methods.nested.object_boxes import inside, pointing

        def measure(rows: Batch, items: Items | None) -> dict[str, Tensor]:
            return pointing(model, rows, self.of, inside(model, rows, items, self.box), self.margin)

        return judge(model, batch, self, measure, {"better": "higher", "measure": "hits"})
