"""DeconvNet: the net run backwards, its rectifiers applied to the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from workers.explanation.composite import Units
from workers.explanation.result import Attribution
from workers.methods.method import Method, SignalStart

if TYPE_CHECKING:
    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Deconvnet(Method):
    """The signal sent back through transposed layers and unpooling, negative parts cut off at each rectifier.

    Shape of the input; units of score per unit of input, the signal starting from one; units of the input where it
    starts from the score, or from a layer's activations. Gates, norms and every other node hand back their own
    derivative. Partial reconstructions, by `units`, sum to the full one where no rectifier lies below. Raises
    MethodNotApplicable for a net without a rectifier (one of GELU or leaky ReLU alone), InvalidParameter for a layer or
    channels that there are not. Source: Zeiler, Fergus 2014; S2 A.2.1; S3 2.2.2 (partial reconstruction).
    """

    citation = "Zeiler, Fergus 2014, Visualizing and Understanding Convolutional Networks"
    question = "Which input pattern would rebuild the score, or a layer's activations, when the net is run backwards?"
    needs = frozenset({"graph"})
    reduced = True

    layer: str | None = Field(
        default=None,
        max_length=300,
        description="Start from this layer's own activations; otherwise from the target.",
    )
    start: SignalStart = "one"
    units: tuple[Units, ...] = Field(
        default=(), max_length=50, description="Partial reconstruction: of these layers, only these channels pass any."
    )

    def refuse(self, model: Model) -> None:
        from workers.engine.propagation.channel_masks import masks
        from workers.engine.rules.rectifiers import Deconv, signals

        signals(model.folded, Deconv(), self.name)
        masks(model, self.units)
        if self.layer is None:
            model.check_start()
        else:
            model.layer(self.layer)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.propagation.channel_masks import masks
        from workers.engine.rules.backward import propagate
        from workers.engine.rules.rectifiers import Deconv, signals

        rules = signals(model.folded, Deconv(), self.name)
        tape, start = model.tape(batch), self._start(model, batch)
        found = propagate(tape, start, lambda local: rules[local.node.index], masks=masks(model, self.units))
        return Attribution({"attribution": found[0]})

    def _start(self, model: Model, batch: Batch) -> dict[int, Tensor]:
        if self.layer is None:
            return model.signal(batch, self.start)
        index = model.layer(self.layer).index
        return {index: model.tape(batch).values[index]}
