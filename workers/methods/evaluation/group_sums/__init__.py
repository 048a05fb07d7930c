"""Group sums: what an explanation says of groups of features, which may overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from workers.explanation.result import Check, Scores
from workers.methods.fields.held import Attributing
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function

MOST_GROUPS, MOST_FEATURES = 500, 5000
Place = Annotated[int, Field(ge=0)]
Places = Annotated[tuple[Place | None, ...], Field(min_length=1, max_length=8)]
Feature = Place | Annotated[str, Field(min_length=1, max_length=300)] | Places


class Group(BaseModel):
    """Features that belong together: an atom, say, and the fingerprints that it is part of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="What the group is called.")
    features: tuple[Feature, ...] = Field(
        min_length=1,
        max_length=MOST_FEATURES,
        description="Its features: a name of the model's card, which is an entry of the first axis and what it has; "
        "a number, counted through the attribution row after row; or a place, by a number for each axis, null for all "
        "along it: [null, 3] is the fourth feature at every step of a sequence.",
    )


class GroupSums(Method):
    """For each group of features the sum of their attributions; a feature may be in several groups (S4 18.3.2).

    `scores` (groups,), in units of the attributions. The info has the `total` over all features, and what is in no
    group, `ungrouped`. Where features that several groups share are `divided` among them, the groups and what is in
    none sum to the total, which is the check. Without groups there is one, of all features. Raises InvalidParameter for
    a feature that there is not. Source: Preuer et al. 2019; S4 l.5833.
    """

    kind = "scores"
    citation = "Preuer et al. 2019, Interpretable Deep Learning in Drug Discovery, book ch. 18"
    question = "How much of the score do these groups of features make, where a feature may be in several?"
    cost = "tens of passes"

    of: Attributing = Field(default="integrated_gradients", description="The method whose attributions are summed.")  # type: ignore[assignment]  # validated from its name
    groups: tuple[Group, ...] = Field(
        default=(), max_length=MOST_GROUPS, description="The groups; without any, all features are one."
    )
    shared: Literal["whole", "divided"] = Field(
        default="whole",
        description="A feature of several groups counts in each as a whole, as the source has it, or in equal parts.",
    )

    def passes(self, at: Extent, /) -> int:
        return self.of.passes(at)

    def refuse(self, model: Function) -> None:
        from workers.methods.evaluation.group_sums.feature_groups import check
        from workers.methods.nested.attributions import refuse

        refuse(model, (self.of,))
        check(model.card.input, self.groups)

    def explain(self, model: Function, batch: Batch) -> Scores:
        from workers.methods.evaluation.group_sums.feature_groups import membership
        from workers.methods.nested.attributions import attributions

        (maps,) = attributions(model, batch, (self.of,))
        flat = maps.flatten(1).double()
        weights = membership(self.groups, model.card.input, maps.shape[1:]).to(flat)
        within = weights.sum(0)
        if self.shared == "divided":
            weights = weights / within.clamp(min=1)
        sums, total, rest = flat @ weights.T, flat.sum(1), (flat * (within == 0)).sum(1)
        names = [{"group": group.name} for group in self.groups] or [{"group": "all"}]
        told = zip(total.tolist(), rest.tolist(), (sums.sum(1) + rest).tolist(), strict=True)
        info, checks = [], []
        for whole, left, together in told:
            info.append({"groups": names, "total": whole, "ungrouped": left, "measure": "sum of attributions"})
            checks.append((Check("conservation", whole, together),) if self.shared == "divided" else ())
        return Scores({"scores": sums}, checks, info)
