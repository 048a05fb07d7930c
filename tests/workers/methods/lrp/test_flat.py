"""LRP-flat carries back one unit of each group: layers of every kind, beside w squared of weights that are 1 or -1."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import attribution

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "dense": (nn.Linear(5, 4), (5,)),
    "dense, of steps": (nn.Linear(5, 4), (3, 5)),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1), (4, 9)),
    "conv2d, in groups": (nn.Conv2d(4, 6, 3, groups=2), (4, 6, 5)),
    "conv2d, depthwise": (nn.Conv2d(4, 8, 3, groups=4, dilation=2), (4, 7, 7)),
    "conv3d": (nn.Conv3d(2, 3, 2), (2, 4, 3, 3)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 3, 3)),
    "transposed, in groups": (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 3, 3)),
}


class Scored(nn.Module):
    """A layer whose values are weighed, so that units and places are given relevance of their own."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = layer
        given = layer(torch.zeros(1, *shape))[0]
        self.head = nn.Linear(given.numel(), 2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.relu(self.layer(x)).flatten(1))
        return scores


@pytest.mark.parametrize("kind", LAYERS)
def test_flat_is_w_squared_of_weights_of_one_size(kind: str) -> None:
    torch.manual_seed(0)
    layer, shape = LAYERS[kind]
    layer.weight = nn.Parameter(torch.randn_like(layer.weight).sign())  # type: ignore[arg-type]  # it has one
    model = model_of(Scored(layer, shape), shape, torch.float64)
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def found(rule: str) -> Tensor:
        table = [{"layers": "layer", "rule": rule}, {"rule": "epsilon"}]
        return attribution(model, batch_of(x, 1), name="lrp", composite=table)

    flat = found("flat")
    assert float(flat.abs().max()) > 0
    torch.testing.assert_close(flat, found("w_square"), rtol=0, atol=1e-12 * float(flat.abs().max()))
