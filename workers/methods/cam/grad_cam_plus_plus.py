"""Grad-CAM++: Grad-CAM with weights that do not fade where a class is seen in many places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import Attribution
from workers.methods.method import Method, SpatialLayer

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class GradCamPlusPlus(Method):
    """A layer's channels, weighted by their positive gradients, each place by g^2 / (2 g^2 + sum(A) g^3), rectified.

    One channel, upsampled to the input's size; `map` holds it at the layer's own size. Source: Chattopadhay et al.
    2018, with the exponential of the score as the function whose derivatives these are.
    """

    citation = "Chattopadhay et al. 2018, Grad-CAM++"
    question = "Where does a layer see what speaks for the target, be it in one place or in many?"
    needs = frozenset({"gradients", "layer"})
    reduced = True
    places = True
    revision = 2

    layer: SpatialLayer = None

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.spatial import spatial_layer

        model.check_start()
        spatial_layer(model, self.layer)

    def speaks_of(self, model: Model) -> frozenset[str]:
        from workers.engine.layers.spatial import inputs_of, spatial_layers

        return inputs_of(spatial_layers(model, self.layer))

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.layers import cam

        maps = cam.small_maps(model, batch, self.layer, cam.plus_plus)
        drawn = cam.drawn(model, batch, maps, relu=True)
        return Attribution(drawn.arrays, info=drawn.info)
