"""CAM: the channels of a pooled layer, weighted as the last linear layer weighs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.explanation.result import Attribution
from workers.methods.method import Method

if TYPE_CHECKING:
    from workers.engine.model.batch import Batch
    from workers.engine.model.model import Model


class Cam(Method):
    """The last layer before global average pooling, its channels weighted by the class's linear weights (S3 eq. 24).

    One channel, upsampled to the input's size, signed; `map` holds it at the layer's own size. Its mean over places is
    the logit less its bias. Refuses a model that does not end in global average pooling and one linear layer. Source:
    Zhou et al. 2016.
    """

    citation = "Zhou et al. 2016, Learning Deep Features for Discriminative Localization"
    question = "Which places carry the class, in a net that averages them and weighs the averages?"
    needs = frozenset({"graph"})
    places = True
    revision = 2

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.cam import check_class, pooled_layer

        check_class(model.targets)
        pooled_layer(model)

    def speaks_of(self, model: Model) -> frozenset[str]:
        from workers.engine.layers.cam import pooled_layer
        from workers.engine.layers.spatial import inputs_of

        return inputs_of([pooled_layer(model)[0]])

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.layers import cam

        layer, weight = cam.pooled_layer(model)
        (activations,) = cam.activations(model, batch, [layer])
        rows = weight[cam.classes(model, batch)]
        weights = rows.view(*rows.shape, *[1] * (activations.dim() - 2))
        drawn = cam.drawn(model, batch, [cam.Small(layer, cam.weighted(activations, weights))])
        return Attribution(drawn.arrays, info=drawn.info)
