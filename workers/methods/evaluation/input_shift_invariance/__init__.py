"""Input shift invariance: whether an explanation stays when input and model are shifted alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from workers.explanation.perturbation import OwnInput
from workers.explanation.result import Scores
from workers.methods.fields.judged import PAIR, UNLESS_DATASET, Judged, Noise, Over
from workers.methods.method import Extent, Method, Seed

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model
    from workers.engine.model.resources import Items

SAME = 1e-3


class InputShiftInvariance(Method):
    """By how much the explanation differs for a model made for shifted inputs, asked of the shifted input (S4 ch. 14).

    The second model has b - w . shift for the biases of its first layers, so that it computes the same from x + shift.
    `scores` is |R - R'| / |R|, Euclidean: 0 for an invariant method; `invariant` in the info says where it is below
    0.001; `first` and `second` are the two models' scores. What methods fit to data is fitted to shifted data for the
    second. Raises MethodNotApplicable where the input meets what is not affine before a layer with a bias, naming the
    node. Source: Kindermans et al. 2019, S4 ch. 14.
    """

    one_input = "adds a constant to every value of one input"
    kind = "scores"
    citation = "Kindermans et al. 2019, The (un)reliability of saliency methods; book ch. 14"
    question = "Does the explanation change when the input is shifted and the model makes up for it?"
    needs = frozenset({"graph"})
    takes_input: ClassVar[bool] = UNLESS_DATASET

    of: Judged = PAIR  # type: ignore[assignment]  # validated from their names
    dataset: Over = None
    shift: Literal["constant", "checkerboard"] | OwnInput = Field(
        default="constant",
        description="The same everywhere, or on every other square of a board of four by four, or an input of one's "
        'own, as the cat of S4 Fig. 14.4 (`{"image": ..}`, `{"tensor": ..}`, `{"digest": ..}`).',
    )
    amount: float = Field(
        default=-1.0,
        ge=-100,
        le=100,
        description="The shift in shares of the input's range, or in its units; of an input of one's own, what it is "
        "multiplied by as the model takes it.",
    )
    noise: Noise = 0.01
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        one = 2 * sum(method.passes(at) for method in self.of) + 2
        return one * at.items(self.dataset)

    def refuse(self, model: Model) -> None:
        from workers.methods.nested import shifted_model
        from workers.methods.nested.attributions import refuse

        refuse(model, self.of)
        shifted_model.check(model)

    def explain(self, model: Model, batch: Batch) -> Scores:
        from workers.methods.evaluation.input_shift_invariance.paired_explanations import Pair
        from workers.methods.nested.attributions import refuse
        from workers.methods.nested.evaluation import judge

        pair = Pair(model, self.shift, self.amount, self.noise, batch.resources)
        refuse(pair.twin, self.of)

        def measure(rows: Batch, _: Items | None) -> dict[str, Tensor]:
            return pair.differences(rows, self.of)

        found = judge(model, batch, self, measure, {"better": "lower", "measure": "relative difference"})
        verdicts = [[one["score"] < SAME for one in row["methods"]] for row in found.info]
        info = [{**row, "invariant": said} for row, said in zip(found.info, verdicts, strict=True)]
        return Scores(found.arrays, found.checks, info)
