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

    def refuse(self, model: Model) -> None:
        from workers.engine.layers.cam import check_class, pooled_layer

        check_class(model.targets)
        pooled_layer(model)

    def explain(self, model: Model, batch: Batch) -> Attribution:
        from workers.engine.layers import cam

        node, weight = cam.pooled_layer(model)
        activations = model.tape(batch).values[node.index]
        rows = weight[cam.classes(model, batch)]
        weights = rows.view(*rows.shape, *[1] * (activations.dim() - 2))
        drawn = cam.drawn(node, cam.weighted(activations, weights), batch)
        return Attribution(drawn.arrays, info=drawn.info)
