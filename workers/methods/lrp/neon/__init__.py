"""NEON: why an input is in its cluster, or is unusual, by relevance propagation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from workers.explanation.result import Attribution, Check
from workers.methods.fields.composites import PRESETS, Preset, Table
from workers.methods.fields.held import Neon as Fitted
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Neon(Method):
    """An unsupervised machine's answer, rewritten as layers and propagated back to the input (S4 10.4, l.3667).

    Shape of the input; units of squared distance. Of k-means it is f = -log(sum_k exp(-b h_k)) / b over the other
    clusters k, with h_k how much farther their centres are than that of the input's own; of a one-class SVM over its
    support vectors with their weights, h_k being how far each is. The smallest take most: p_k = softmax(-b h_k) of h_k
    goes on to the features by what each adds to h_k, and from a layer to the input by `composite`. Checks: at the layer
    relevance sums to f plus what the pooling takes (its entropy over b), and it is conserved from there to the input.
    The info has the cluster, or the outlierness, and p. Source: Kauffmann et al. 2020, 2022; Montavon et al. 2019.
    """

    citation = "Kauffmann et al. 2022, From Clustering to Cluster Explanations via Neural Networks; 2020 on anomalies"
    question = "Why is this input in its cluster, or why is it unusual, with no labels at all?"
    needs = frozenset({"graph", "dataset"})
    revision = 2
    takes_target = False

    fit: Fitted = Field(default="neon_fit", description="The neon_fit that is explained: its machine, data and layer.")  # type: ignore[assignment]  # validated from its name
    cluster: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Of k-means: the cluster that is asked about; by default the nearest."
    )
    stiffness: float = Field(
        default=1.0,
        gt=0,
        le=1e6,
        description="Of k-means: b, in one over squared distance; the larger, the more the nearest rival takes alone. "
        "A one-class SVM has its kernel's width.",
    )
    composite: Preset | Table = Field(
        default="epsilon_plus", description="Which rule for which layer below that of the machine, as in lrp."
    )

    @property
    def table(self) -> Table:
        """The composite as its ordered table."""
        return PRESETS[self.composite] if isinstance(self.composite, str) else self.composite

    def refuse(self, model: Model) -> None:
        from workers.engine.rules import assign
        from workers.methods.lrp.neon.pooling import layer_of

        self.fit.refuse(model)
        assign.check(model.folded, model.rules(self.table), [model.layer(layer_of(self.fit)).index], 0)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.methods.lrp.neon.pooling import layer_of, machine_of, pooled
        from workers.methods.nested.layer_values import asked_about, laid_back

        at = model.layer(layer_of(self.fit)).index
        tape = model.tape(batch)
        value = tape.graph.by_row(at, tape.values[at])
        machine = machine_of(batch.resources.state(model, self.fit), self.cluster, self.stiffness)
        found = pooled(machine, asked_about(model, at, value))
        start = laid_back(model, at, found.relevance, value)
        node = model.folded.nodes[at]
        maps = model.relevance(batch, {at: node.rows.join(start)}, self.table)[0] if at else start
        sums = [found.expected, found.relevance.sum(1), maps.flatten(1).double().sum(1)]
        checks = [
            (Check("pooling", want, have), Check("conservation", have, end))
            for want, have, end in zip(*(one.tolist() for one in sums), strict=True)
        ]
        return Attribution({"attribution": maps}, checks, found.info)
