"""The CAM family against its formulas, each written out anew with autograd on the module itself."""

from __future__ import annotations

import pytest
import torch
from captum.attr import GuidedGradCam
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.cam.test_cam_and_occlusion import Pooled
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.explanation.errors import MethodNotApplicable
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method


def parts(module: Pooled, x: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Activations of the last convolution and the target's gradients there."""
    activations = module.features(x)
    score = module.fc(activations.mean((2, 3)))[:, target].sum()
    return activations.detach(), torch.autograd.grad(score, activations)[0]


def small_map(name: str, x: Tensor, target: int = 1) -> Tensor:
    values: Tensor = explain(model_of(Pooled(), (1, 8, 8)), batch_of(x, target), name=name).arrays["map"]
    return values


def test_cam_averages_to_the_logit_less_its_bias() -> None:
    module, x = Pooled(), inputs(2)
    expected = module(x)[:, 1].detach() - module.fc.bias[1].detach()
    torch.testing.assert_close(small_map("cam", x).mean((1, 2, 3)), expected, rtol=1e-4, atol=1e-5)


def test_cam_refuses_nets_that_do_not_end_in_pooling_and_one_linear_layer() -> None:
    with pytest.raises(MethodNotApplicable, match="fc reads pool"):
        parse_method("cam").refuse(model_of(net(), (1, 8, 8)))
    convolutional = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(MethodNotApplicable, match="one linear layer"):
        parse_method("cam").refuse(model_of(convolutional, (1, 8, 8)))
    unit = batch_of(inputs(1), UnitTarget(layer="features.0", channel=0))
    with pytest.raises(MethodNotApplicable, match="class"):
        attribution(model_of(Pooled(), (1, 8, 8)), unit, name="cam")


def test_grad_cam_plus_plus_is_its_formula() -> None:
    x = inputs(2)
    a, g = parts(Pooled(), x, 1)
    expected = torch.zeros(2, 1, 6, 6)
    for n in range(2):
        for k in range(5):
            total = a[n, k].sum()
            weight = 0.0
            for i in range(6):
                for j in range(6):
                    slope = float(g[n, k, i, j])
                    if slope != 0:
                        alpha = slope**2 / (2 * slope**2 + float(total) * slope**3)
                        weight += alpha * max(slope, 0.0)
            expected[n, 0] += weight * a[n, k]
    torch.testing.assert_close(small_map("grad_cam_plus_plus", x), expected.relu(), rtol=1e-3, atol=1e-5)


def test_layer_cam_is_its_formula() -> None:
    x = inputs(2)
    a, g = parts(Pooled(), x, 1)
    torch.testing.assert_close(small_map("layer_cam", x), (a * g.relu()).sum(1, keepdim=True).relu())


def test_score_cam_is_its_formula() -> None:
    module, x = Pooled(), inputs(2)
    a, _ = parts(module, x, 1)
    expected = torch.zeros(2, 1, 6, 6)
    for n in range(2):
        scores = []
        for k in range(5):
            mask = nn.functional.interpolate(a[n, k].view(1, 1, 6, 6), size=(8, 8), mode="bilinear")
            spread = mask.max() - mask.min()
            mask = (mask - mask.min()) / (spread if spread > 0 else 1)
            scores.append(module(x[n : n + 1] * mask).detach()[0, 1])
        weights = torch.stack(scores).softmax(0)
        expected[n, 0] = (weights.view(5, 1, 1) * a[n]).sum(0).relu()
    torch.testing.assert_close(small_map("score_cam", x), expected, rtol=1e-4, atol=1e-5)


def test_guided_grad_cam_equals_captums() -> None:
    """The ReLUs are modules here, which is what Captum sees."""
    module, x = Pooled(), inputs(2)
    with pytest.warns(UserWarning, match="backward hooks"):
        theirs = GuidedGradCam(module, module.features[2]).attribute(
            x.clone().requires_grad_(), target=1, interpolate_mode="bilinear"
        )
    ours = attribution(model_of(module, (1, 8, 8)), batch_of(x, 1), name="guided_grad_cam", layer="features.2")
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_plus_plus", "layer_cam", "score_cam", "guided_grad_cam"])
def test_maps_work_on_series_and_volumes(name: str) -> None:
    for conv, shape in ((nn.Conv1d(2, 3, 3), (2, 9)), (nn.Conv3d(1, 3, 2), (1, 4, 4, 4))):
        module = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
        module(torch.zeros(1, *shape))
        values = attribution(model_of(module, shape), batch_of(torch.randn(2, *shape), 0), name=name)
        expected = (2, *shape) if name == "guided_grad_cam" else (2, 1, *shape[1:])
        assert values.shape == expected
