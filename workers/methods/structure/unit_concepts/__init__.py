"""Units and concepts: which units of a layer tell the items of a class from the others, without masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class UnitConcepts(Method):
    """For each unit of a layer and each class of a labelled dataset, a two-sided Mann-Whitney test (S4 l.5809).

    It asks whether the unit's values (of a channel the highest over its places) differ between items that bear the
    label and those that do not. `scores` (concepts,) count the units that go with each; `p` (units, concepts) are the
    p-values times the number of tests (Bonferroni), at most 1; `auc` the chance that an item with the label has the
    higher value, above 0.5 where the unit answers to it. The info lists `associations`, those below `alpha`, surest
    first, at most 1000. Raises InvalidParameter for a dataset without labels, or that has but one. Source: S4 l.5809.
    """

    kind = "scores"
    citation = "Mann, Whitney 1947; Preuer et al. 2019, book ch. 18.3"
    question = "Which units go with which concepts, where nobody has drawn masks?"
    needs = frozenset({"graph", "layer", "dataset"})
    takes_input = False
    takes_target = False
    cost = "thousands of passes"
    revision = 2

    dataset: DatasetName = "training"
    layer: str | None = Field(
        default=None, max_length=300, description="The layer; by default the last that a layer with weights reads."
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="The level of significance of all tests together.")

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset)

    def refuse(self, model: Model) -> None:
        from workers.methods.structure.unit_concepts.compute import unit_level

        unit_level(model, self.layer)

    def explain(self, model: Model, batch: Batch) -> Scores:
        from workers.methods.structure.unit_concepts.compute import associate

        found = associate(model, batch, self.dataset, self.layer)
        counts = (found.adjusted < self.alpha).sum(0)
        info = {
            "layer": found.layer, "measure": f"units of {found.layer} that go with the concept",
            "concepts": [{"concept": name} for name in found.concepts], "associations": found.below(self.alpha),
        }  # fmt: skip
        arrays = {"scores": counts, "p": found.adjusted, "auc": found.auc}
        return Scores({name: array[None] for name, array in arrays.items()}, info=[info])
