"""Randomization: whether an explanation depends on what the model has learned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Judged, Over
from workers.methods.method import Extent, Method, ModelName, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model
    from workers.engine.model.resources import Items
    from workers.methods.evaluation.randomization.shuffled_weights import Stranger


class Randomization(Method):
    """Spearman's correlation of the attributions with those of the model with its weights shuffled (S0 Fig. 7).

    `curves` (methods, layers) goes from the output down: with all layers so far shuffled (cascading) or that one alone
    (independent); `scores` is the last of a cascade, where nothing learned is left, and the mean otherwise. High means
    that the explanation hardly depends on the model. With `other` that model takes the shuffled one's place: an
    untrained one, or one trained on random labels. A map without variation correlates 0 with all. What methods fit to
    data is fitted anew. Raises MethodNotApplicable for a model without weights. Source: Adebayo et al. 2018; S0 Fig. 7.
    """

    kind = "scores"
    citation = "Adebayo et al. 2018, Sanity checks for saliency maps; S0 section 4.1"
    question = "Does the explanation depend on what the model has learned?"
    needs = frozenset({"graph"})
    cost = "tens of passes"
    takes_input: ClassVar[bool] = UNLESS_DATASET
    revision = 3

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    mode: Literal["cascading", "independent"] = Field(
        default="cascading", description="Shuffle all layers from the output down to one, or that one alone."
    )
    magnitudes: bool = Field(default=False, description="Compare magnitudes; else values with their signs.")
    other: ModelName | None = Field(
        default=None, description="A served model to compare with, in place of this one's weights shuffled."
    )
    own_target: bool = Field(
        default=False,
        description="Of a target by rank, explain the class that has it in the other model; else the same class.",
    )
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        own = sum(method.passes(at) for method in self.of)
        shuffled = 1 if self.other else at.weighted or 19
        return own * (1 + shuffled) * at.items(self.dataset)

    def refuse(self, model: Model) -> None:
        from workers.methods.evaluation.randomization.shuffled_weights import layers
        from workers.methods.nested.attributions import refuse

        layers(model.folded)
        refuse(model, self.of)

    def explain(self, model: Model, batch: Batch) -> Scores:
        import torch

        from workers.methods.evaluation.randomization.sanity_checks import Sanity
        from workers.methods.evaluation.randomization.shuffled_weights import layers, shuffled
        from workers.methods.nested.evaluation import judge

        cascade = self.mode == "cascading"
        if self.other is None:
            names = [group[0].layer for group in layers(model.folded)]
            made = partial(shuffled, model, batch.resources, cascade)
        else:
            names, made = [self.other], partial(self._served, model, batch)
        sanity = Sanity(model, self.of, self.magnitudes, self.own_target, made)

        def measure(rows: Batch, items: Items | None) -> dict[str, Tensor]:
            own = [self.seed] * len(rows) if items or not rows.seeds else rows.seeds
            found = sanity.likeness(rows, own)
            return {"scores": found[:, :, -1] if cascade else found.mean(2), "curves": found}

        axes = {"x": "layers shuffled, from the output down", "y": "rank correlation"}
        about = {"better": "lower", "axes": axes, "measure": "rank correlation", "layers": names}
        return judge(model, batch, self, measure, about, {"at": torch.arange(1, len(names) + 1).float()})

    def _served(self, model: Model, batch: Batch, _: int) -> list[Stranger]:
        from workers.methods.evaluation.randomization.shuffled_weights import Stranger
        from workers.methods.nested.attributions import refuse
        from workers.methods.nested.other_models import counterpart

        assert self.other is not None
        other, resources = counterpart(model, batch, self.other, "/method/other")
        refuse(other, self.of)
        return [Stranger(other, resources)]
