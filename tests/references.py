"""Where the reference data lies: a folder beside the checkout, absent on most machines."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.toys import CHUNK
from tests.tree import ROOT
from workers.engine.model.model import Model
from workers.explanation.images.decoding import prepare
from workers.models.folder import read_folder
from workers.models.loading import load_program

SHARED = ROOT.parent / "shared"

needs_references = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the reference data (a folder `shared` beside the checkout) is not on this machine"
)


@cache
def program(name: str) -> torch.export.ExportedProgram:
    return load_program(read_folder(SHARED / "models" / name))


@cache
def reference_model(name: str, dtype: torch.dtype = torch.float32) -> Model:
    return Model.from_program(read_folder(SHARED / "models" / name), program(name), dtype=dtype, chunk=CHUNK)


def photographs() -> list[Path]:
    return sorted((SHARED / "data" / "images").glob("*.jpg"))


def prepared(model: Model, paths: list[Path]) -> Tensor:
    """The photographs as the model's input (n, 3, h, w)."""
    spec = model.card.input
    assert spec.image is not None
    return torch.from_numpy(np.stack([prepare(p.read_bytes(), spec.image, spec.shape)[0] for p in paths]))


def cifar_test_images(dtype: torch.dtype = torch.float32) -> Tensor:
    """The 20 stored CIFAR-10 test images, normalised for ResNet-20."""
    pixels = np.load(SHARED / "data" / "cifar10" / "cifar10_samples.npz")["x_test"]
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(dtype) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406], dtype=dtype), torch.tensor([0.229, 0.224, 0.225], dtype=dtype)
    return (x - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
