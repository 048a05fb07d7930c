"""Draws the methods that digits cannot show: on discs, bars and crosses in noise, whose parts are known.

Use: python docs/draw_shapes.py FOLDER; then serve FOLDER/models with the datasets of FOLDER/datasets, and:
python docs/draw_shapes.py FOLDER URL
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tomli_w
import torch
from draw_gallery import PICTURES, explained, keep
from gallery_models import trained
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from service.render.colormaps import colours
from service.render.frame import Caption, framed
from service.render.plots.bars import draw_bars
from service.render.scale import colormap_for, scaled
from service.render.style import Look

SIDE, COUNT, CHANNELS = 24, 600, 12
CLASSES = ["disc", "bar", "cross"]
Array = NDArray[Any]


def shapes(seed: int) -> tuple[Array, Array, Array]:
    """Images (n, 1, SIDE, SIDE), their classes, and the masks of each class's shape (n, 3, SIDE, SIDE)."""
    drawn = np.random.default_rng(seed)
    labels = drawn.integers(3, size=COUNT)
    y, x = np.mgrid[:SIDE, :SIDE]
    masks = np.zeros((COUNT, 3, SIDE, SIDE), bool)
    for row, label in enumerate(labels):
        middle = drawn.integers(6, SIDE - 6, 2)
        down, across = abs(y - middle[0]), abs(x - middle[1])
        bar, beam = (down <= 1) & (across <= 5), (across <= 1) & (down <= 5)
        masks[row, label] = (down**2 + across**2 <= 20, bar, bar | beam)[label]
    images = masks.any(1, keepdims=True) + drawn.normal(0, 0.25, (COUNT, 1, SIDE, SIDE))
    return images.astype(np.float32), labels, masks


def net(*last: nn.Module) -> nn.Module:
    """The last layer reads averages over the places: that is what cam needs; dropout is what mc_dropout needs."""
    return nn.Sequential(
        nn.Conv2d(1, CHANNELS, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(CHANNELS, CHANNELS, 5, padding=2),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(CHANNELS, 3), *last,
    )  # fmt: skip


def write(folder: Path, model: nn.Module, output: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    example = torch.zeros(2, 1, SIDE, SIDE)
    shapes_of = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=shapes_of), folder / "model.pt2")
    card = {"model": {"source": "model.pt2", "output": output}, "labels": {"file": "labels.txt"}}
    card["input"] = {"kind": "tensor", "shape": [1, SIDE, SIDE], "axes": ["channel", "height", "width"]}
    (folder / "card.toml").write_text(tomli_w.dumps(card))
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")


def prepare(at: Path) -> None:
    torch.manual_seed(0)
    x, y, masks = shapes(0)
    sorted_out = trained(net(), torch.from_numpy(x), torch.from_numpy(y))
    write(at / "models" / "shapes", sorted_out, "logits")
    write(at / "models" / "opinion", nn.Sequential(sorted_out, nn.Softplus()).eval(), "evidence")
    noise = np.random.default_rng(1).normal(0.3, 0.5, (200, 1, SIDE, SIDE)).astype(np.float32)
    sets: dict[str, dict[str, Array]] = {
        "shapes": {"inputs": x, "labels": y, "masks": masks},
        "bars": {"inputs": x[y == 1]},
        "noise": {"inputs": noise},
    }
    for name, arrays in sets.items():
        (at / "datasets" / name).mkdir(parents=True, exist_ok=True)
        for kind, array in arrays.items():
            np.save(at / "datasets" / name / f"{kind}.npy", array)


class Asking:
    """A running Whence that is asked about one cross."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        x, y, _ = shapes(0)
        seen = x[int(np.flatnonzero(y == 2)[0])]
        self.input = {"tensor": {"shape": list(seen.shape), "data": seen.ravel().tolist()}}

    def map_of(self, name: str) -> None:
        asked = {"model": "shapes", "method": name, "input": self.input, "target": "cross"}
        keep(explained(self.client, asked), PICTURES / "methods" / f"{name}.png")

    def arrays(
        self, method: dict[str, Any], model: str = "shapes", **more: Any
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a method without a picture says: its document, and its arrays by name."""
        asked = {"model": model, "method": method, **more}
        found = self.client.post("/api/v1/explanations", json=asked).raise_for_status().json()
        place = f"/api/v1/explanations/{found['id']}"
        while found["status"] in ("queued", "running"):
            found = self.client.get(place, params={"wait": 30}).raise_for_status().json()
        read = {name: self.client.get(f"{place}/{name}.npy").raise_for_status().content for name in found["arrays"]}
        return found, {name: np.load(BytesIO(content)) for name, content in read.items()}


def bars(values: Array, names: list[str], method: str, title: str) -> None:
    png = draw_bars(values, Look(), Caption(f"{method}: {title}"), names)
    keep(Image.open(BytesIO(png)).convert("RGB"), PICTURES / "methods" / f"{method}.png")


def tiles(maps: Array, method: str, title: str) -> None:
    """Maps (n, height, width) side by side on one scale, six in a row."""
    drawn = scaled(maps.astype(np.float32), Look(clip=100.0))
    name = colormap_for(drawn, Look())
    pixels = np.pad(colours(drawn.values, name), ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=200)
    rows = [np.concatenate(list(pixels[i : i + 6]), 1) for i in range(0, len(pixels), 6)]
    sheet = Image.fromarray(np.concatenate(rows))
    zoom = max(1, 480 // sheet.width)
    body = sheet.resize((zoom * sheet.width, zoom * sheet.height), Image.Resampling.NEAREST)
    png = framed(body, Caption(f"{method}: {title}"), drawn, lambda values: colours(values, name))
    keep(Image.open(BytesIO(png)).convert("RGB"), PICTURES / "methods" / f"{method}.png")


def draw(client: httpx.Client) -> None:
    asking = Asking(client)
    asking.map_of("cam")
    asking.map_of("mc_dropout")
    found, arrays = asking.arrays({"name": "evidence"}, "opinion", input=asking.input)
    beliefs = np.append(arrays["scores"], found["info"]["uncertainty"])
    bars(beliefs, [*CLASSES, "I do not know"], "evidence", "belief in each class of a cross in noise")
    _, arrays = asking.arrays({"name": "activation_rates", "dataset": "shapes"})
    tiles(arrays["3"], "activation_rates", "how often each channel of a layer is active")
    _, arrays = asking.arrays({"name": "neon_fit", "dataset": "shapes", "clusters": 6})
    tiles(arrays["centres"].reshape(-1, SIDE, SIDE), "neon_fit", "the centres of six clusters")
    _, arrays = asking.arrays({"name": "pattern_fit", "dataset": "shapes"})
    tiles(arrays["0.positive"][:, 0], "pattern_fit", "the signal that each channel of the first layer detects")
    _, arrays = asking.arrays({"name": "dissection", "dataset": "shapes", "layer": "4", "quantile": 0.05})
    fits = zip(arrays["scores"], arrays["concept"], strict=True)
    units = [f"unit {unit}: {CLASSES[int(best)] if iou else 'none'}" for unit, (iou, best) in enumerate(fits)]
    bars(arrays["scores"], units, "dissection", "each unit with the shape that it fits best (IoU)")
    names = {"dataset": "shapes", "concept": "bars", "random": "noise", "classes": [0, 1, 2]}
    _, arrays = asking.arrays({"name": "tcav", **names})
    bars(arrays["scores"], CLASSES, "tcav", "how often bars speak for each class")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        with httpx.Client(base_url=sys.argv[2], timeout=120) as whence:
            draw(whence)
    else:
        prepare(Path(sys.argv[1]))
