"""What NEON explains: k-means or a one-class SVM, fitted to the values of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from workers.explanation.result import State
from workers.methods.method import DatasetName, Extent, Method, Seed

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class NeonFit(Method):
    """An unsupervised machine on a layer's values (or the input's) over a dataset (S4 10.4).

    Of k-means `centres` (clusters, d) and how many items each has, `counts`. Of a one-class SVM `support` (m, d), the
    vectors' `weights` (m,), which sum to 1, and the kernel's `width` (1,): exp(-width |x - u|^2). d are the layer's
    values, end to end. Raises InvalidParameter for fewer items than clusters. Source: Kauffmann et al. 2020, 2022.
    """

    kind = "state"
    citation = "Kauffmann et al. 2022, From Clustering to Cluster Explanations via Neural Networks"
    question = "Which clusters, or which border of what is usual, do the values of a layer have?"
    needs = frozenset({"graph", "dataset"})
    revision = 2
    takes_input = False
    takes_target = False
    cost = "thousands of passes"

    machine: Literal["k_means", "one_class_svm"] = Field(
        default="k_means", description="Clusters, or how far from the usual an input is."
    )
    dataset: DatasetName = "training"
    layer: str = Field(default="input", max_length=300, description="The layer whose values it sees, or the input.")
    clusters: int = Field(default=4, ge=2, le=1000, description="Of k-means: how many.")
    outliers: float = Field(
        default=0.1, gt=0, lt=1, description="Of the one-class SVM: at most this share of the items lies outside (nu)."
    )
    width: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Of the kernel, in one over squared distance; by default 1 / (d times the variance of the values).",
    )
    items: int = Field(default=2000, ge=2, le=20_000, description="At most so many items, the first.")
    seed: Seed = 0

    def passes(self, at: Extent, /) -> int:
        return at.items(self.dataset, self.items)

    def refuse(self, model: Model) -> None:
        model.layer(self.layer)

    def explain(self, model: Model, batch: Batch) -> State:
        from workers.methods.lrp.neon_fit.compute import k_means, one_class_svm, values

        x = values(model, batch, self.dataset, self.layer, self.items)
        if self.machine == "k_means":
            found = k_means(x, self.clusters, self.seed)
        else:
            found = one_class_svm(x, self.outliers, self.width)
        return State({name: array[None] for name, array in found.items()})
