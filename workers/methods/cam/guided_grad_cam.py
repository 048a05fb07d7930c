"""Guided Grad-CAM: guided backpropagation, kept where Grad-CAM looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import Attribution
from workers.methods.method import Method, SignalStart, SpatialLayer

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class GuidedGradCam(Method):
    """Guided backpropagation times the rectified Grad-CAM map of a layer, upsampled to the input (S3 2.2.4).

    Shape of the input; `map` holds the Grad-CAM map at the layer's own size. Refuses what guided backpropagation
    refuses. Source: Selvaraju et al. 2017.
    """

    citation = "Selvaraju et al. 2017, Grad-CAM; Springenberg et al. 2015"
    question = "Which fine patterns speak for the target, in the places that a layer looks at?"
    needs = frozenset({"graph", "layer"})
    reduced = True
    revision = 2

    layer: SpatialLayer = None
    start: SignalStart = "one"

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.spatial import spatial_layer
        from workers.engine.rules.rectifiers import Guided, signals

        signals(model.folded, Guided(), self.name)
        model.check_start()
        spatial_layer(model, self.layer)

    def speaks_of(self, model: Model) -> frozenset[str]:
        from workers.engine.layers.spatial import inputs_of, spatial_layers

        return inputs_of(spatial_layers(model, self.layer))

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.layers import cam
        from workers.engine.rules.backward import propagate
        from workers.engine.rules.rectifiers import Guided, signals

        maps = cam.small_maps(model, batch, self.layer, cam.mean_gradients)
        drawn = cam.drawn(model, batch, maps, relu=True)
        rules = signals(model.folded, Guided(), self.name)
        begin = model.signal(batch, self.start)
        fine = propagate(model.tape(batch), begin, lambda at: rules[at.node.index])[0]
        return Attribution({**drawn.arrays, "attribution": fine * drawn.whole}, info=drawn.info)
