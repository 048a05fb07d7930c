"""Word deletion: how fast the score falls as the most relevant words of a text are taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from workers.explanation.perturbation import Score
from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, Judged
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function
    from workers.engine.model.resources import Items


class WordDeletion(Method):
    """The score as words are taken away one by one, in the order of the relevance summed over their tokens.

    `scores` is the mean of f(x) - f(x without k words) over k = 0.. `steps`; `curves` (methods, steps + 1) the score
    itself, which stays as it is once no word is left; `at` the number of words gone. Of f = sum w e(x_t) it falls by
    w e(x_t), word for word. Source: Arras et al. 2017, What is relevant in a text document?; S4 l.4091.
    """

    kind = "scores"
    citation = "Arras, Horn, Montavon, Mueller, Samek 2017, What is relevant in a text document?; book ch. 11.3"
    question = "Does the score fall when the words that a method calls relevant are taken away?"
    cost = "tens of passes"
    dataset: ClassVar[None] = None
    revision = 2

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    order: Literal["morf", "lerf", "random"] = Field(
        default="morf", description="Most relevant first, least relevant first, or by chance, the same for all methods."
    )
    segments: Literal["word", "token"] = Field(default="word", description="What is taken away at a time.")
    steps: int = Field(default=10, ge=1, le=1000, description="How many words go; fewer where none is left.")
    fill: Literal["zero", "pad", "mask"] = Field(
        default="zero",
        description="What takes a token's place: zero where its embedding was, or what the model's embedding has for "
        "padding or for a hidden token.",
    )
    score: Score = "logit"
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return sum(method.passes(at) + self.steps for method in self.of) + 1

    def refuse(self, model: Function) -> None:
        from workers.engine.perturbation.segments import chosen
        from workers.engine.perturbation.windows import check_score
        from workers.methods.nested.attributions import refuse

        check_score(model, self.score)
        chosen(model, self.segments)
        refuse(model, self.of)

    def explain(self, model: Function, batch: Batch) -> Scores:
        import torch

        from workers.methods.evaluation.word_deletion.compute import curves
        from workers.methods.nested.evaluation import judge

        def measure(rows: Batch, _: Items | None) -> dict[str, torch.Tensor]:
            found = curves(model, rows, self)
            return {"scores": (found[:, :, :1] - found).mean(2), "curves": found}

        better = {"morf": "higher", "lerf": "lower", "random": None}[self.order]
        axes = {"x": f"{self.segments}s taken away", "y": f"{self.score} of the target"}
        about = {"better": better, "axes": axes, "measure": "area over the curve"}
        return judge(model, batch, self, measure, about, {"at": torch.arange(self.steps + 1).float()})
