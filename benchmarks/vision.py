"""torchvision beside any torch: its wheel for CUDA needs its operators declared before a CPU build imports it."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.places import WEIGHTS

OPERATORS = ("nms", "qnms", "deform_conv2d", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
_kept: list[torch.library.Library] = []


def torchvision() -> Any:
    """The package; Zennit imports it too, so this has to come first."""
    try:
        return importlib.import_module("torchvision")
    except (RuntimeError, ImportError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in OPERATORS:
            library.define(f"{operator}(Tensor a) -> Tensor")  # type: ignore[no-untyped-call]
            library.define(f"_{operator}_backward(Tensor a) -> Tensor")  # type: ignore[no-untyped-call]
        _kept.append(library)
        return importlib.import_module("torchvision")


def squeezenet() -> nn.Module:
    """SqueezeNet 1.1 with its ImageNet weights, or random ones where the file is not there."""
    torch.manual_seed(0)
    module: nn.Module = torchvision().models.squeezenet1_1().eval().requires_grad_(False)
    if WEIGHTS.is_file():
        module.load_state_dict(load_file(WEIGHTS))
    return module
