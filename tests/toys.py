"""Small nets with known answers, and how a test makes a Model of any module."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tests.tree import ROOT
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.spec import ModelSpec
from workers.explanation.target import ClassTarget, RankTarget, Target
from workers.models.folder import read_folder
from workers.models.loading import load

CHUNK = 8  # rows per internal pass: measured, they would differ from run to run


def model_of(
    module: nn.Module,
    shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    image: bool = False,
    device: str = "cpu",
    **fields: Any,
) -> Model:
    """A module, exported and loaded as the worker would, with a folder that is not on disk."""
    spec = InputSpec(kind="tensor", shape=tuple(shape), **{k: fields.pop(k) for k in ("low", "high") if k in fields})
    if image:
        channels = shape[0]
        colours = ImageSpec(mode="RGB" if channels == 3 else "L", mean=(0.5,) * channels, std=(0.5,) * channels)
        spec = InputSpec(kind="image", shape=tuple(shape), image=colours)
    known = {
        "name": "toy", "output": "logits", "input": spec, "labels": (), "default_method": "gradient", "accuracy": None,
        "digest": "sha256:" + "0" * 64,
    }  # fmt: skip
    return Model.from_program(ModelSpec(**{**known, **fields}), exported(module, shape), device, dtype, CHUNK)


def exported(module: nn.Module, shape: Sequence[int]) -> torch.export.ExportedProgram:
    """The module's program, for any batch size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(
            module.eval(), (torch.zeros(2, *shape),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )


def batch_of(x: Tensor, target: int | Target | None = None, **fields: Any) -> Batch:
    """A batch with one target for all rows; by default the predicted class."""
    wanted = RankTarget(rank=0) if target is None else ClassTarget(index=target) if isinstance(target, int) else target
    return Batch(x, [wanted] * len(x), **fields)


class Net(nn.Module):
    """A small convolutional net with what real ones have: in-place and reused ReLUs, a residual sum, batch norm."""

    def __init__(self, bias: bool = True, norm: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=bias)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout()
        self.fc = nn.Linear(4 * 4 * 4, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn1(self.conv1(x)))
        x = self.act(x + self.conv2(x))
        output: Tensor = self.fc(self.drop(self.pool(x).flatten(1)))
        return output


def net(seed: int = 0, bias: bool = True, norm: bool = True) -> Net:
    """A Net with random weights and, where it has batch norm, statistics that are not the identity."""
    torch.manual_seed(seed)
    made = Net(bias, norm)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return made.eval()


def inputs(n: int = 2, seed: int = 1, shape: Sequence[int] = (1, 8, 8)) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def language() -> Model:
    """The demo model of words, as a worker loads it."""
    found = load(read_folder(ROOT / "models" / "language"))
    assert isinstance(found, Model)
    return found
