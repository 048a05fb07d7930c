"""lrp on whole architectures: equal to Zennit and Captum where they are right, conserving where they are not."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.oracles import architecture, captum, spread, unbiased, vision, zennit
from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.model import Model

TARGET = 3
FOLDS = {"vgg11_bn": "sequential", "resnet18": "resnet", "googlenet": "sequential", "densenet121": "densenet"}


def picture(size: int = 64) -> Tensor:
    return torch.rand(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def loaded(module: nn.Module, size: int = 64) -> Model:
    """The model of a module, which is left in float64; pixels lie in -1 to 1."""
    model = model_of(module.float(), (3, size, size), dtype=torch.float64, image=True)
    module.double()
    return model


@cache
def pair(name: str) -> tuple[nn.Module, Model]:
    """An architecture as torchvision's module and as ours."""
    module = _build(name)
    return module, loaded(module)


def _build(name: str) -> nn.Module:
    match name:
        case "vgg11_bn":
            module = architecture(name)
            module.classifier = nn.Sequential(nn.Linear(512 * 49, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10))
            return module.eval().requires_grad_(False)
        case "densenet121":
            # its functional ReLU and pooling as modules, without which Zennit takes their gradient
            module = architecture(name, shift=False)
            layers = [module.features, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), module.classifier]
            return nn.Sequential(*layers)  # type: ignore[arg-type]  # a module's attributes are tensors to mypy
        case "googlenet":
            return architecture(name, init_weights=False, aux_logits=False)
        case _:
            return architecture(name)


@pytest.mark.parametrize("preset", ["epsilon_plus_flat", "epsilon_gamma_box"])
@pytest.mark.parametrize(
    "name", [name if name == "resnet18" else pytest.param(name, marks=pytest.mark.slow) for name in FOLDS]
)
def test_relevance_is_zennits(name: str, preset: str) -> None:
    """DenseNet's batch norm before a ReLU cannot be folded. There Zennit passes relevance on whole and ours leaves the
    share of the constant with it, so that the two are compared on one whose constants are zero."""
    (module, model), x = pair(name), picture()
    found = attribution(model, batch_of(x, TARGET), name="lrp", composite=preset)
    expected = zennit(module, preset, x, TARGET, FOLDS[name])
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.slow
def test_relevance_is_captums_where_that_has_rules() -> None:
    """The epsilon rule; Captum leaves batch norm a layer of its own, which for this rule is the same."""
    (module, model), x = pair("vgg11_bn"), picture()
    table = [{"rule": "epsilon", "epsilon": 1e-9}]
    found = attribution(model, batch_of(x, TARGET), name="lrp", composite=table)
    expected = captum(module, x, TARGET)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small"])
def test_squeeze_and_excitation_conserves_where_zennit_doubles(name: str) -> None:
    """Zennit takes the gradient of products and of sums without a module, and hands each factor the whole."""
    module, x = unbiased(architecture(name, shift=False)), picture()
    check = explain(loaded(module), batch_of(x, TARGET), name="lrp", composite="epsilon").checks[0][0]
    assert check.gap < 1e-3
    theirs = zennit(module, "epsilon_plus", x, TARGET, "sequential").sum()
    assert abs(float(theirs) / check.expected) > 2


TIMM: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 2, "patch_size": 8},
    "swin_tiny_patch4_window7_224": {
        "img_size": 32, "depths": (2, 2), "num_heads": (2, 2), "embed_dim": 8, "window_size": 4,
    },
    "convnextv2_atto": {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)},
}  # fmt: skip


def transformer(name: str) -> nn.Module:
    torch.manual_seed(0)
    models = vision().models
    match name:
        case "vit":
            return models.VisionTransformer(32, 8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5)  # type: ignore[no-any-return]
        case "swin":
            return models.SwinTransformer([2, 2], 8, [2, 2], [2, 2], [4, 4], num_classes=5)  # type: ignore[no-any-return]
        case _:
            timm = pytest.importorskip("timm")
            return timm.create_model(name, pretrained=False, num_classes=5, **TIMM[name])  # type: ignore[no-any-return]


@cache
def transformed(name: str) -> Model:
    return loaded(unbiased(spread(transformer(name))), 32)


@pytest.mark.parametrize("preset", ["epsilon", "gamma"])
@pytest.mark.parametrize("name", ["vit", *(pytest.param(name, marks=pytest.mark.slow) for name in ("swin", *TIMM))])
def test_transformers_conserve(name: str, preset: str) -> None:
    result = explain(transformed(name), batch_of(picture(32), TARGET), name="lrp", composite=preset)
    assert result.checks[0][0].gap < 1e-3
