"""TCAV: whether a class answers to a concept that examples define."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.method import DatasetName, Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Tcav(Method):
    """The share of a class's inputs whose score rises as a layer's value moves towards a concept (S4 1.4.4).

    The direction is that of a linear model which tells examples of the concept from random ones, fitted `repeats`
    times, to other examples on both sides each time. `scores` (classes,) the mean share, 0 to 1; `runs` (classes,
    repeats), and `random` those of random examples in the concept's place. The info holds two-sided t-tests against one
    half and against `random`; significant is a concept whose first is below `alpha` over the number of classes. Raises
    InvalidParameter for too few examples, or a class that no input shows. Source: S4 [38], Kim et al. 2018.
    """

    kind = "scores"
    citation = (
        "Kim et al. 2018, Interpretability beyond feature attribution: testing with concept activation vectors (TCAV)"
    )
    question = "Does this class answer to this concept?"
    needs = frozenset({"gradients", "graph", "layer", "dataset"})
    takes_input = False
    takes_target = False
    cost = "thousands of passes"

    dataset: DatasetName = "training"
    concept: DatasetName = "concept"
    random: DatasetName = "random"
    classes: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(0,), min_length=1, max_length=100, description="The classes, of whose items in `dataset` it is asked."
    )
    confidence: float = Field(
        default=0.0, ge=0, le=1, description="The least probability of its class that an item counts with."
    )
    images: int = Field(default=100, ge=1, le=10000, description="How many items of each class count.")
    layer: str | None = Field(
        default=None, max_length=300, description="The layer; by default the last that a layer with weights reads."
    )
    examples: int = Field(
        default=50, ge=3, le=1000, description="How many examples of each side a vector is fitted to."
    )
    repeats: int = Field(default=10, ge=2, le=500, description="How many vectors; the examples are dealt out to them.")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="The level of significance, of all classes together.")
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        shown = min(at.items(self.dataset), len(self.classes) * self.images)
        examples = self.examples * self.repeats
        read = at.items(self.concept, examples) + at.items(self.random, 2 * examples)
        return at.items(self.dataset) + shown + read

    def refuse(self, model: Model) -> None:
        from workers.methods.structure.tcav.concept_vectors import concept_layer

        concept_layer(model, self.layer)

    def explain(self, model: Model, batch: Batch) -> Scores:
        import torch

        from workers.engine.data.examples import Choice
        from workers.explanation.errors import InvalidParameter
        from workers.methods.structure.tcav import concept_vectors

        node = concept_vectors.concept_layer(model, self.layer)
        if max(self.classes) >= model.card.heads:
            raise InvalidParameter(f"the model has the classes 0 to {model.card.heads - 1}", pointer="/method/classes")
        wanted = concept_vectors.Concept(self.concept, self.random, self.examples, self.repeats, self.seed)
        vectors = concept_vectors.vectors(model, batch, node, wanted)
        choice = Choice(self.dataset, self.classes, self.confidence, self.images)
        runs, random, inputs = concept_vectors.answers(model, batch, node, choice, vectors)
        told = []
        for c, ours, others, count in zip(self.classes, runs, random, inputs, strict=True):
            half, by_chance = concept_vectors.p_values(ours, others)
            told.append({
                "class": c, "label": model.card.label(c), "inputs": count, "score": float(ours.mean()),
                "deviation": float(ours.std(ddof=1)), "random": float(others.mean()),
                "p_against_half": half, "p_against_random": by_chance,
                "significant": half < self.alpha / len(self.classes),
            })  # fmt: skip
        arrays = {"scores": runs.mean(1), "runs": runs, "random": random}
        return Scores(
            {name: torch.from_numpy(array)[None] for name, array in arrays.items()},
            info=[{
                "layer": node.layer, "classes": told,
                "accuracy": vectors.accuracy, "random_accuracy": vectors.random_accuracy,
            }],
        )  # fmt: skip
