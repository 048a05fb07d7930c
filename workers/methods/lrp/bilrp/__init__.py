"""BiLRP: which pieces of two inputs, taken together, make them alike."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from workers.explanation.result import Attribution, Check
from workers.methods.fields.composites import PRESETS, Preset, Table
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model

UNKNOWN = 512  # numbers in an embedding, of a model that is not known


class Bilrp(Method):
    """Relevance of pairs of pieces, one of each of two inputs whose embeddings are multiplied (S4 10.4, l.3679).

    `pairs` (pieces, pieces) is R_ij = sum_k LRP(a_k, x)_i LRP(b_k, x')_j, weighted as the product is; `attribution`,
    shaped like the inputs, is half of each pair's relevance at either end: it sums to what `pairs` sum to. Units of
    score. The embeddings a and b are found in the graph, where the two inputs meet in what is linear in each of them: a
    scalar product, a cosine (what it divides by is held constant), a negated squared distance (its squares belong to
    one input alone, and are told as the score less `product`). Pieces are patches of images, tokens of texts, features
    of rows. Conservation: pairs sum to the product, less what biases and stabilisers absorb. Raises MethodNotApplicable
    where the inputs are not two or meet otherwise. Source: Eberle et al. 2022.
    """

    citation = "Eberle et al. 2022, Building and Interpreting Deep Similarity Models; book 10.4"
    question = "Which parts of one input go with which parts of the other, so that the model finds the two alike?"
    needs = frozenset({"graph"})
    two_inputs = True
    cost = "hundreds of passes"

    composite: Preset | Table = Field(
        default="gamma", description="Which rule for which layer below the embeddings, as in lrp."
    )
    patch: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None,
        description="Side of the patches that images, series and volumes are cut into; by default so that there are at "
        "most 196. Tokens of texts and features of rows are pieces as they are.",
    )

    @property
    def table(self) -> Table:
        """The composite as its ordered table."""
        return PRESETS[self.composite] if isinstance(self.composite, str) else self.composite

    def passes(self, at: Extent, /) -> int:
        """One for each number of the embeddings: as many as the last layer has that has more than the output."""
        out = prod(at.card.outputs) if at.card else 1
        sizes = [prod(layer.shape) for layer in at.layers]
        return 1 + next((size for size in reversed(sizes) if size > out), UNKNOWN)

    def refuse(self, model: Model) -> None:
        from workers.engine.rules import assign
        from workers.methods.lrp.bilrp.meeting import branches
        from workers.methods.lrp.bilrp.pieces import pieces

        model.check_start()
        pieces(model, self.patch)
        for target in model.targets or (None,):
            one, other = branches(model, target).sides
            assign.check(model.folded, model.rules(self.table), [*one, *other], 0)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.methods.lrp.bilrp.compute import paired
        from workers.methods.lrp.bilrp.pieces import pieces

        cuts = pieces(model, self.patch)
        found = paired(model, batch, self.table, cuts)
        checks = [
            (Check("conservation", want, have),)
            for want, have in zip(found.products, found.pairs.sum((1, 2)).tolist(), strict=True)
        ]
        told = {"pieces": [cut.told() for cut in cuts], "rules": model.rules_by_layer(self.table)}
        info = [{**told, "product": product} for product in found.products]
        return Attribution({"attribution": found.maps, "pairs": found.pairs}, checks, info)
