"""Temperature scaling: how far the model's confidence can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.result import Scores
from workers.methods.method import DatasetName, Extent, Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Temperature(Method):
    """The temperature that the logits are to be divided by for the model to be right as often as it says (S3 3.3).

    `scores` is the temperature of least negative log-likelihood on a labelled dataset (between 0.01 and 100; one that
    the model was not trained on); `before` and `after` are the reliability diagrams, (bins, 3): mean confidence,
    accuracy, items. The info gives expected calibration error and negative log-likelihood (nats) at temperature 1 and
    at this one. The predicted class never changes, and attributions of logits are divided by it. Raises
    InvalidParameter for a dataset without labels, MethodNotApplicable for an output of no classes.
    Source: Guo, Pleiss, Sun, Weinberger 2017; S3 3.3.
    """

    kind = "scores"
    citation = "Guo, Pleiss, Sun, Weinberger 2017, On Calibration of Modern Neural Networks"
    question = "Is the model right as often as its probabilities say?"
    needs = frozenset({"dataset"})
    takes_input = False
    takes_target = False
    cost = "thousands of passes"

    dataset: DatasetName = "training"
    bins: int = Field(default=15, ge=1, le=1000, description="Bins of confidence, of equal width.")

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset)

    def refuse(self, model: Function) -> None:
        from workers.methods.uncertainty.temperature.compute import check

        check(model)

    def explain(self, model: Function, batch: Batch) -> Scores:
        import numpy as np

        from workers.methods.uncertainty.temperature.compute import fitted, outputs_of, reliability

        self.refuse(model)
        logits, labels = outputs_of(model, batch, self.dataset)
        found = fitted(logits, labels)
        before, after = (reliability(logits, labels, value, self.bins) for value in (1.0, found))
        info = {
            "temperature": found,
            "items": len(labels),
            "accuracy": float((logits.argmax(1) == labels).mean()),
            "before": {"ece": before.ece, "nll": before.nll},
            "after": {"ece": after.ece, "nll": after.nll},
        }
        arrays = {"scores": np.array([found]), "before": before.bins[None], "after": after.bins[None]}
        return Scores(arrays, info=[info])
