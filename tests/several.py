"""Small nets of several inputs, and how a test makes a Model of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tests.toys import CHUNK
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import OPEN, ImageSpec, InputSpec
from workers.explanation.inputs import joined
from workers.explanation.spec import ModelSpec
from workers.explanation.target import ClassTarget

IMAGE = InputSpec(kind="image", shape=(3, 8, 8), image=ImageSpec(mean=(0.5,) * 3, std=(0.5,) * 3))
ROW = InputSpec(shape=(5,), low=-2.0, high=2.0)
IDS = InputSpec(shape=(6,), dtype="int64")
MASK = InputSpec(shape=(6,), dtype="int64", held=True)


class ImageAndRow(nn.Module):
    """A picture and columns of a table, joined before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.row = nn.Linear(5, 6, bias=False)
        self.head = nn.Sequential(nn.Linear(4 * 16 + 6, 12, bias=False), nn.ReLU(), nn.Linear(12, 3, bias=False))

    def forward(self, image: Tensor, row: Tensor) -> Tensor:
        seen = self.pool(torch.relu(self.conv(image))).flatten(1)
        output: Tensor = self.head(torch.cat([seen, torch.relu(self.row(row))], 1))
        return output


class Siamese(nn.Module):
    """Two pictures through one encoder; what comes out speaks for the same, or against."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8, bias=False)
        )
        self.head = nn.Linear(8, 2, bias=False)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        output: Tensor = self.head(torch.relu(self.encoder(left) - self.encoder(right)))
        return output


class Similarity(nn.Module):
    """The scalar product of what one encoder makes of two texts."""

    def __init__(self, nonlinear: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.inner = nn.Sequential(nn.Linear(6, 7, bias=False), nn.ReLU() if nonlinear else nn.Identity())
        self.out = nn.Linear(7, 5, bias=False)

    def encode(self, ids: Tensor) -> Tensor:
        output: Tensor = self.out(self.inner(self.embedding(ids)).mean(1))
        return output

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return (self.encode(one) * self.encode(other)).sum(1)


class Likeness(nn.Module):
    """The scalar product of what one encoder makes of two pictures."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=bias), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 7, bias=bias)
        )

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        one, other = (self.encoder(picture) for picture in (left, right))
        score: Tensor = (one * other).sum(1)
        return score


class Depth(nn.Module):
    """RGB and depth, stacked as channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, stride=2, bias=False)
        self.head = nn.Linear(36, 3, bias=False)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        output: Tensor = self.head(torch.relu(self.conv(torch.cat([rgb, depth], 1))).flatten(1))
        return output


class ImageAndText(nn.Module):
    """A picture and a text of ids with its mask."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.embedding = nn.Embedding(20, 6)
        self.head = nn.Linear(4 + 6, 3, bias=False)

    def forward(self, image: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        seen = torch.relu(self.conv(image)).mean((2, 3))
        weights = mask[..., None] / mask.sum(1)[:, None, None]
        read = (torch.tanh(self.embedding(ids)) * weights).sum(1)
        output: Tensor = self.head(torch.cat([seen, read], 1))
        return output


PLANE = InputSpec(shape=(1, 8, 8))
LIKENESS: dict[str, InputSpec] = {"left": PLANE, "right": PLANE}
NETS: dict[str, tuple[type[nn.Module], dict[str, InputSpec]]] = {
    "image and row": (ImageAndRow, {"image": IMAGE, "row": ROW}),
    "siamese": (Siamese, {"left": PLANE, "right": PLANE}),
    "rgbd": (Depth, {"rgb": IMAGE, "depth": InputSpec(shape=(1, 8, 8), low=0.0, high=3.0)}),
    "image and text": (ImageAndText, {"image": IMAGE, "ids": IDS, "mask": MASK}),
}


def program_of(module: nn.Module, inputs: Mapping[str, Tensor], specs: Mapping[str, InputSpec]) -> ExportedProgram:
    """The module's program for any number of rows, and any size where the spec leaves it open."""
    batch = Dim("batch")
    axes = tuple(
        {0: batch, **{i: Dim.DYNAMIC for i, size in enumerate(spec.shape, 1) if size == OPEN}}
        for spec in specs.values()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module.eval(), tuple(inputs.values()), dynamic_shapes=axes)


def model_of_inputs(
    module: nn.Module,
    specs: Mapping[str, InputSpec],
    inputs: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float64,
    **fields: Any,
) -> Model:
    """A module of several inputs, exported and loaded as the worker would."""
    known = {
        "name": "several", "output": "logits", "input": joined(specs, {}), "labels": (), "accuracy": None,
        "default_method": "gradient", "digest": "sha256:" + "0" * 64, "inputs": dict(specs),
    }  # fmt: skip
    spec = ModelSpec(**{**known, **fields})
    return Model.from_program(spec, program_of(module, inputs, specs), dtype=dtype, chunk=CHUNK)


def rows_of(specs: Mapping[str, InputSpec], count: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Inputs by name: noise, ids below 20, and masks whose last places are off, but for the first row."""
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for name, spec in specs.items():
        if spec.held:
            made[name] = torch.ones(count, *spec.shape, dtype=torch.int64)
            made[name][1:, -2:] = 0
        elif spec.dtype == "int64":
            made[name] = torch.randint(20, (count, *spec.shape), generator=draw)
        else:
            made[name] = torch.randn(count, *spec.shape, generator=draw)
    return made


def toy(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Model, dict[str, Tensor]]:
    """A net of `NETS` with random weights, in that precision, its Model, and three rows of inputs."""
    make, specs = NETS[name]
    torch.manual_seed(0)
    module = make().eval()
    rows = rows_of(specs)
    model = model_of_inputs(module, specs, rows, dtype)
    floats = {key: row if row.dtype == torch.int64 else row.to(dtype) for key, row in rows.items()}
    return module.to(dtype), model, floats


def batch_of_inputs(model: Model, rows: Mapping[str, Tensor], target: int = 1, **fields: Any) -> Batch:
    """A batch of inputs by name."""
    x = model.join(rows)
    return Batch(x, [ClassTarget(index=target)] * len(x), **fields)
