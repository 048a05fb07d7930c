"""Steps of influence: how far back in time a prediction reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.fields.judged import UNLESS_DATASET, Judged, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class StepsOfInfluence(Method):
    """How many of the last steps of a sequence count: T - n, with n the last step before relevance first moves.

    Attributions are summed over all but the axis of time; they move where a step's sum differs from that of the step
    before it (of the first, from 0) by more than `threshold`, in units of score. `scores` is T - n, 0 where they never
    move; `curves` (methods, steps) are the sums. T of a text is its tokens without padding. Over a dataset, means of
    these. Raises MethodNotApplicable for an input without that axis. Source: S4 19.2.4, eq. 19.7, l.6088.
    """

    kind = "scores"
    citation = "Kratzert et al. 2019, NeuralHydrology: interpreting LSTMs in hydrology; book ch. 19"
    revision = 2
    question = "How many steps back in time does this prediction reach?"
    takes_input: ClassVar[bool] = UNLESS_DATASET

    of: Judged = ("integrated_gradients",)  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    axis: int | None = Field(
        default=None,
        ge=-8,
        le=7,
        description="The axis of the input that is time, as it is counted without the batch; by default the one of "
        "that name, else the first.",
    )
    threshold: float = Field(
        default=2e-3, ge=0, le=1e6, description="A change of more than this is no noise; the seed's is 0.002."
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return sum(method.passes(at) for method in self.of) * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.methods.nested.attributions import refuse
        from workers.methods.nested.steps import steps_of

        refuse(model, self.of)
        steps_of(model.card, self.axis)

    def explain(self, model: Function, batch: Batch) -> Scores:
        import torch

        from workers.methods.nested.attributions import attributions
        from workers.methods.nested.evaluation import judge
        from workers.methods.nested.steps import steps_of

        steps = steps_of(model.card, self.axis)

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            sums = torch.stack([steps.sums(each) for each in attributions(model, rows, self.of)], 1)
            moves = sums.diff(dim=2, prepend=torch.zeros_like(sums[:, :, :1])).abs() > self.threshold
            last = steps.lengths(model.card, rows.x).to(sums.device)[:, None]
            moves &= torch.arange(steps.count, device=sums.device) < last.unsqueeze(2)
            first = moves.to(torch.int8).argmax(2)
            return {"scores": torch.where(moves.any(2), last - first, 0).double(), "curves": sums}

        about = {"better": None, "measure": "steps of influence", "axes": {"x": "step", "y": "relevance"}}
        return judge(model, batch, self, measure, about, {"at": torch.arange(steps.count).double()})
