"""Pixel flipping: how fast the score falls as the most relevant patches are taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from workers.explanation.card import InputSpec
from workers.explanation.perturbation import Score, SegmentCount, Segments
from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Fill, Judged, Over, patch_side
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class PixelFlipping(Method):
    """The score as patches are taken away one by one, in the order of the relevance summed over each (S2 section 5).

    `scores` is the area over that curve, the mean of f(x) - f(x without k patches) over k = 0.. (AOPC); `curves`
    (methods, steps + 1) the score itself, `at` the number of patches gone. Methods that agree on what goes first share
    passes. Of several inputs and of texts segments go, a picture's beside the columns of a row and the words of a text,
    in one order; their curves stay as they are once none is left. Raises MethodNotApplicable for a probability of what
    are no logits. Source: Samek et al. 2016; S2 Fig. 4.
    """

    kind = "scores"
    citation = "Samek et al. 2017, Evaluating the visualization of what a deep neural network has learned"
    question = "Does the score fall when what a method calls relevant is taken away?"
    cost = "hundreds of passes"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    revision = 3

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    order: Literal["morf", "lerf", "random"] = Field(
        default="morf", description="Most relevant first, least relevant first, or by chance, the same for all methods."
    )
    patch: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Side of a patch; by default 9, a quarter of a side below 36, a feature of a flat input. Of "
        "several inputs and of texts segments go where no side is given.",
    )
    segments: Segments = None
    count: SegmentCount = 50
    steps: int = Field(
        default=100, ge=1, le=10000, description="How many patches go, at most; fewer where none is left."
    )
    fill: Fill = Field(
        default="patch_mean",
        description="What takes a patch's place: its own mean in each channel (a lone feature or token has none and "
        "is zero), each channel's mean over the input, zero, the minimum of the input's range (black), a blurred copy, "
        "or uniform noise over the range.",
    )
    score: Score = "probability"
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.patch is not None and self.segments is not None:
            raise ValueError("patch is the side of square patches, and segments are none: give one of the two")
        return self

    def by_segments(self, spec: InputSpec) -> bool:
        """Whether segments go, and no square patches."""
        return self.segments is not None or (bool(spec.parts) and self.patch is None)

    def passes(self, at: Extent, /) -> int:
        squares = None if self.by_segments(at.input) else at.windows(self.patch or patch_side(at.input), None)
        gone = min(self.steps, squares or at.segments(self.count))
        return (sum(method.passes(at) + gone for method in self.of) + 1) * at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.segments import chosen
        from workers.engine.perturbation.windows import check_score
        from workers.methods.nested.attributions import refuse

        check_score(model, self.score)
        refuse(model, self.of)
        if self.by_segments(model.card.input):
            chosen(model, self.segments)

    def explain(self, model: Function, batch: Batch) -> Scores:
        import torch

        from workers.methods.evaluation.pixel_flipping.compute import areas, curves, most, patches
        from workers.methods.nested.evaluation import judge

        steps = most(model.card.input, self)

        def measure(rows: Batch, _: Items | None) -> dict[str, torch.Tensor]:
            cut = patches(model, rows, self)
            found = curves(model, rows, self, cut, steps)
            return {"scores": areas(found, cut), "curves": found}

        better = {"morf": "higher", "lerf": "lower", "random": None}[self.order]
        what = "segments" if self.by_segments(model.card.input) else "patches"
        axes = {"x": f"{what} taken away", "y": f"{self.score} of the target"}
        about = {"better": better, "axes": axes, "measure": "area over the curve"}
        return judge(model, batch, self, measure, about, {"at": torch.arange(steps + 1).float()})
