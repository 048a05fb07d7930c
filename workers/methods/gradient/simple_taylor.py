"""Simple Taylor decomposition: the whole function, expanded at a root point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import Attribution, Check
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model
    from workers.explanation.target import Target

NEAR = 2.0**-10  # of the way to the input: a power of two scales without rounding, a smaller one drowns in biases
STEPS, HALVINGS = 50, 30  # along the gradient until the score is zero or beyond, and of the step that went there


class SimpleTaylor(Method):
    """The first-order terms of the score's Taylor expansion at a root point: gradient there times the way from there.

    Shape of the input; units of score. It sums to the score where the root is one and no kink of the function lies
    between: on ReLU nets without biases, always, from the origin. The checks say by how much the sum misses the score,
    and what is left of the score at the root. Raises InvalidTarget where `nearest` finds no root. Source: S3 eq. 7, 8;
    S4 10.1; Montavon et al. 2017.
    """

    citation = "Montavon et al. 2017, Explaining nonlinear classification decisions with deep Taylor decomposition"
    question = "How is the score shared, when the function is expanded at a point where it says nothing?"
    needs = frozenset({"gradients"})

    root: Literal["origin", "nearest"] = Field(
        default="origin",
        description="Where to expand: just beside the origin, or at the zero of the score straight along its gradient.",
    )

    def passes(self, _: Extent, /) -> int:
        return 1 if self.root == "origin" else STEPS + HALVINGS

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.propagation.taylor import remainder

        wanted = model.resolve(batch)
        root, beside = self._root(model, batch, wanted)
        _, gradients = model.gradient(beside, wanted)
        values = gradients * (batch.x - root)
        scores = model.start(batch)[0].tolist()
        sums = values.double().flatten(1).sum(1).tolist()
        checks = [
            (Check("completeness", score, total), Check("root", 0.0, remain))
            for score, total, remain in zip(scores, sums, remainder(model, root, wanted), strict=True)
        ]
        return Attribution({"attribution": values}, checks)

    def _root(self, model: Model, batch: Batch, wanted: list[Target]) -> tuple[Tensor, Tensor]:
        """The root, and the point beside it at which the gradient is taken."""
        from workers.engine.model.inputs import hold
        from workers.engine.propagation.taylor import nearest_root

        if self.root == "origin":
            spec = model.card.input
            return hold(batch.x * 0, batch.x, spec), hold(batch.x * NEAR, batch.x, spec)
        root = nearest_root(model, batch, wanted, STEPS, HALVINGS)
        return root, root
