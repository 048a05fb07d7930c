"""Box ratio: how much of an explanation lies inside the object's box."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from workers.explanation.result import Scores
from workers.methods.fields.judged import MIDDLE, PAIR, UNLESS_DATASET, Box, Judged, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class BoxRatio(Method):
    """The sum of the attributions' magnitudes inside the box over that outside, channels summed first (S4 22.3.4).

    `share` is that inside of all, `area` the box's share of the input: an even map has a share equal to it. The ratio
    ends at a million. Over a dataset means, and by class where items have labels: the class of the least ratio is where
    the model looks elsewhere. Raises InvalidParameter for a dataset without boxes or masks. Source: S4 22.3.4.
    """

    kind = "scores"
    citation = "Alber 2019, Software and application patterns for explanation methods; book ch. 22.3.4"
    question = "Does the model look at the object, or at what surrounds it?"
    takes_input: ClassVar[bool] = UNLESS_DATASET

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    box: Box = MIDDLE
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
        from workers.methods.nested.object_boxes import inside, ratios

        def measure(rows: Batch, items: Items | None) -> dict[str, Tensor]:
            return ratios(model, rows, self.of, inside(model, rows, items, self.box))

        return judge(model, batch, self, measure, {"better": "higher", "measure": "inside over outside"})
