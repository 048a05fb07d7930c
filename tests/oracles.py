"""Other libraries' networks and relevance: what ours is compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.vision import torchvision

vision = torchvision


def architecture(name: str, shift: bool = True, **arguments: Any) -> nn.Module:
    """torchvision's network of that name with random weights, in evaluation, as `lively` leaves it."""
    torch.manual_seed(0)
    return lively(getattr(vision().models, name)(**arguments), shift)


def lively(module: nn.Module, shift: bool = True) -> nn.Module:
    """Batch norm fitted to noise, so that no layer's values die out, and moved off the identity; vanishing epsilon.

    Zennit leaves a division by sqrt(1 + epsilon) behind where it folds batch norm.
    """
    norms = [m for m in module.eval().modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum, norm.eps = 1.0, 1e-12
    with torch.no_grad():
        module(torch.randn(4, 3, 64, 64))
    for norm in norms:
        assert norm.running_mean is not None
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        if shift:
            nn.init.normal_(norm.bias, 0, 0.2)
        else:
            norm.running_mean.zero_()
    return module.eval().requires_grad_(False)


def unbiased(module: nn.Module) -> nn.Module:
    """The module without what absorbs relevance: biases, and tokens and positions that are no input."""
    for name, parameter in module.named_parameters():
        if name.endswith(("bias", "beta", "token", "pos_embedding", "pos_embed")):
            parameter.data.zero_()
    return module.eval().requires_grad_(False)


def spread(module: nn.Module) -> nn.Module:
    """The module with weights of a size that keeps its values' size, far above stabilisers."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0, float(parameter[0].numel()) ** -0.5)
        else:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return module


def zennit(module: nn.Module, preset: str, x: Tensor, target: int, fold: str) -> Tensor:
    """Zennit's relevance of the target's logit under a composite of ours.

    `fold` is how its canonizers find batch norm: by the names of a "resnet" or "densenet", or by the order of modules
    ("sequential"; in DenseNet that folds some of another shape, and fails).
    """
    vision()
    from zennit import composites
    from zennit.canonizers import NamedMergeBatchNorm, SequentialMergeBatchNorm
    from zennit.torchvision import ResNetCanonizer

    canonizers = {
        "resnet": [ResNetCanonizer()],
        "sequential": [SequentialMergeBatchNorm()],
        "densenet": [NamedMergeBatchNorm(_after_convolutions(module))],
    }[fold]
    chosen = {
        "epsilon_plus": lambda: composites.EpsilonPlus(canonizers=canonizers),
        "epsilon_plus_flat": lambda: composites.EpsilonPlusFlat(canonizers=canonizers),
        "epsilon_gamma_box": lambda: composites.EpsilonGammaBox(
            low=torch.full_like(x, -1), high=torch.full_like(x, 1), canonizers=canonizers
        ),
    }[preset]()
    leaf = x.detach().requires_grad_()
    with chosen.context(module) as hooked:
        score = hooked(leaf)[:, target]
        return torch.autograd.grad(score, leaf, score.detach())[0]


def _after_convolutions(densenet: nn.Module) -> list[tuple[list[str], str]]:
    """Of a DenseNet's batch norms those that follow a convolution, with its name."""
    names = [name for name, _ in densenet.named_modules() if name.endswith(("conv0", "conv1"))]
    return [([name], name.replace("conv0", "norm0").replace("conv1", "norm2")) for name in names]


def captum(module: nn.Module, x: Tensor, target: int) -> Tensor:
    """Captum's relevance of the target's logit by the epsilon rule, batch norm a layer of its own."""
    from captum.attr import LRP

    found: Tensor = LRP(module).attribute(x.detach().requires_grad_(), target=target)
    return found.detach()
