"""grad_cam, occlusion and predict hold to their formulas."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LayerGradCam
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor, nn

from tests.references import needs_references, photographs, prepared, reference_model
from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.gradient.test_gradient_family import relative
from workers.engine.perturbation.windows import windows
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.explanation.target import ClassTarget
from workers.methods.catalogue import parse_method


class Pooled(nn.Module):
    """Convolutions, global average pooling, one linear layer: what CAM was made for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU())
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.features(x).mean((2, 3)))
        return output


def test_on_a_pooled_net_grad_cam_is_cam_up_to_the_pooling_constant() -> None:
    module, x = Pooled(), inputs(2)
    small = explain(model_of(module, (1, 8, 8)), batch_of(x, 2), name="grad_cam", relu=False).arrays["map"]
    activations = module.features(x).detach()
    cam = (activations * module.fc.weight[2].detach().view(1, 5, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(small, cam / 36, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", ["features.0", "features.1", "features.2", "features"])
def test_grad_cam_equals_captums_at_any_layer(layer: str) -> None:
    module, x = Pooled(), inputs(2)
    theirs = LayerGradCam(module, module.get_submodule(layer)).attribute(x, target=1)
    ours = explain(model_of(module, (1, 8, 8)), batch_of(x, 1), name="grad_cam", layer=layer, relu=False).arrays["map"]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_grad_cam_takes_the_last_spatial_layer_and_says_which() -> None:
    result = explain(model_of(Pooled(), (1, 8, 8)), batch_of(inputs(1)), name="grad_cam")
    assert result.info[0]["layer"] == "features.3"
    assert result.arrays["attribution"].shape == (1, 1, 8, 8)
    assert (result.arrays["attribution"] >= 0).all()


def test_a_blank_map_says_so() -> None:
    module = Pooled()
    nn.init.constant_(module.fc.weight, -1)
    result = explain(model_of(module, (1, 8, 8)), batch_of(inputs(1), 0), name="grad_cam")
    assert not result.arrays["attribution"].any()
    assert "zero everywhere" in result.info[0]["note"]


def test_grad_cam_refuses_a_net_without_places() -> None:
    model = model_of(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), (6,))
    with pytest.raises(MethodNotApplicable, match="places"):
        parse_method("grad_cam").refuse(model)
    pooled = model_of(Pooled(), (1, 8, 8))
    with pytest.raises(InvalidParameter, match=r"\[3\]"):
        parse_method({"name": "grad_cam", "layer": "fc"}).refuse(pooled)
    with pytest.raises(InvalidParameter, match="no layer 'nowhere'"):
        parse_method({"name": "grad_cam", "layer": "nowhere"}).refuse(pooled)


@pytest.mark.parametrize(("patch", "stride"), [(2, 2), (3, 3), (3, 1), (4, 2), (8, 8), (3, 2)])
def test_occlusion_equals_captums(patch: int, stride: int) -> None:
    module, x = net(), inputs(2)
    theirs = CaptumOcclusion(module).attribute(
        x, sliding_window_shapes=(1, patch, patch), strides=(1, stride, stride), target=1, baselines=0.5
    )
    ours = attribution(
        model_of(module, (1, 8, 8)), batch_of(x, 1), name="occlusion", patch=patch, stride=stride,
        fill="constant", value=0.5,
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_occlusion_of_a_linear_model_is_its_contributions() -> None:
    linear = nn.Linear(6, 2, bias=False)
    x = torch.randn(2, 6)
    model = model_of(linear, (6,))
    values = attribution(model, batch_of(x, 1), name="occlusion", patch=1)
    torch.testing.assert_close(values, x * linear.weight[1].detach(), rtol=1e-4, atol=1e-6)


def test_occlusion_watches_the_probability_if_asked() -> None:
    module, x = net(), inputs(1)
    model = model_of(module, (1, 8, 8))
    values = attribution(model, batch_of(x, 0), name="occlusion", patch=8, score="probability")
    expected = (module(x).softmax(1) - module(x * 0).softmax(1))[0, 0]
    assert float(values[0, 0, 0, 0]) == pytest.approx(expected.item(), rel=1e-4)
    value = model_of(nn.Linear(4, 1), (4,), output="value")
    with pytest.raises(MethodNotApplicable, match="of which there is no probability"):
        parse_method({"name": "occlusion", "score": "probability"}).refuse(value)


def test_windows_cover_every_place_and_no_stride_skips_one() -> None:
    assert len(windows((3, 224, 224), None, None)) == 196
    covered = torch.zeros(7, 5)
    for window in windows((1, 7, 5), 3, 2):
        covered[window] += 1
    assert (covered > 0).all()
    with pytest.raises(InvalidParameter, match="uncovered"):
        windows((1, 8, 8), 2, 3)


def test_predict_names_the_highest_outputs() -> None:
    module, x = net(), inputs(2)
    result = explain(model_of(module, (1, 8, 8), labels=("a", "b", "c")), batch_of(x), name="predict", top=2)
    outputs = module(x).detach()
    torch.testing.assert_close(result.arrays["scores"], outputs, rtol=1e-4, atol=1e-5)
    best = result.info[0]["prediction"][0]
    assert best["index"] == int(outputs[0].argmax())
    assert best["label"] == "abc"[best["index"]]
    assert best["probability"] == pytest.approx(float(outputs[0].softmax(0).max()), rel=1e-4)
    assert len(result.info[0]["prediction"]) == 2


@pytest.mark.slow
@needs_references
def test_on_squeezenet_occlusion_equals_captums() -> None:
    model = reference_model("squeezenet1_1")
    x = prepared(model, photographs()[:1])
    batch = batch_of(x)
    (target,) = (t.index for t in model.resolve(batch) if isinstance(t, ClassTarget))
    theirs = CaptumOcclusion(lambda x: model.graph.run(x)[0]).attribute(
        x,
        sliding_window_shapes=(3, 32, 32),
        strides=(3, 32, 32),
        target=target,
        perturbations_per_eval=8,
    )
    ours = attribution(model, batch, name="occlusion", patch=32)
    assert relative(ours, theirs[:, :1]) < 1e-4
