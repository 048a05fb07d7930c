"""Continuity: whether nearly the same inputs get nearly the same explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Judged, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class Continuity(Method):
    """The largest |R(x) - R(x')| / |x - x'| on a way along which the input changes step by step (S4 13.3.2).

    Euclidean norms; `curves` (methods, steps) the ratio at each step; `relative` the largest with R and x in shares of
    their norms at the start, which compares methods of different scale. The target is that of the input itself. A
    method with a jump has no bound: the ratio grows as the steps shrink. Source: Montavon et al. 2018; S4 13.3.2.
    """

    one_input = "moves the values of one input about"
    kind = "scores"
    citation = "Montavon et al. 2018, Methods for interpreting and understanding deep neural networks; book ch. 13"
    question = "Do nearly equal inputs get nearly equal explanations?"
    cost = "tens of passes"
    takes_input: ClassVar[bool] = UNLESS_DATASET

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    course: Literal["occlusion", "translation", "noise"] = Field(
        default="occlusion",
        description="What changes on the way: a window of the mean slides from left to right, the input itself moves "
        "to the right by a place a step, or noise of a hundredth of its norm is added at each.",
    )
    steps: int = Field(default=16, ge=1, le=1000, description="How many steps the way has.")
    patch: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Side of the occluding window; by default a quarter of the longest side.",
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        one = sum(method.passes(at) for method in self.of) * (self.steps + 1)
        return one * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.methods.nested.attributions import refuse

        refuse(model, self.of)

    def explain(self, model: Function, batch: Batch) -> Scores:
        import torch

        from workers.methods.evaluation.continuity.compute import course, jumps
        from workers.methods.nested.evaluation import judge

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            return jumps(model, rows, self.of, course(model, rows, self.course, self.steps, self.patch))

        axes = {"x": f"step of the {self.course}", "y": "change of R per change of x"}
        about = {"better": "lower", "axes": axes, "measure": "largest change of R per change of x"}
        return judge(model, batch, self, measure, about, {"at": torch.arange(1, self.steps + 1).float()})
