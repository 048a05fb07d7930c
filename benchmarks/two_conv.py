"""The net of the switched projections' appendix B on MNIST: its units, how many are active, and its Insens pictures.

    python -m benchmarks.two_conv [MNIST.npz] [EPOCHS]

Trains for some minutes, prints accuracies and shares of active units for clean and noisy digits beside the seed's, and
draws Insens beside other methods into docs/pictures/.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from service.render.colormaps import colours, grays
from service.render.heatmap import enlarged
from service.render.scale import plane, scaled
from service.render.style import Look
from service.render.text import write
from tests.resources import InMemory, InMemoryDataset, no_input
from tests.toys import batch_of, model_of
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method

ROOT = Path(__file__).resolve().parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"
PICTURE = ROOT / "docs" / "pictures" / "insens.png"
SEED = {"clean": (99.4, 17), "gauss": (31.7, 25), "outline": (86.0, 27), "frame": (44.9, 23)}  # accuracy, active, in %
COLUMNS = ("insens", "gradient", "integrated_gradients", "deep_taylor")
HEADINGS = ("input", "Insens", "gradient", "IG", "deep Taylor")
DIGITS = (0, 4, 1)
SIDE, STEP, LEFT, TOP = 112, 120, 84, 20  # of a map; from one to the next; where the first is


def network() -> nn.Sequential:
    """2CONV, initialised as the TensorFlow of its time did: Glorot uniform weights, no biases."""
    net = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip
    for name, parameter in net.named_parameters():
        (nn.init.xavier_uniform_ if name.endswith("weight") else nn.init.zeros_)(parameter)
    return net


def train(x: Tensor, labels: Tensor, epochs: int) -> nn.Sequential:
    """Adam on the softmax cross-entropy without regularisation, as the appendix says."""
    torch.manual_seed(0)
    net = network()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        for part in torch.randperm(len(x)).chunk(len(x) // 100):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(net(x[part]), labels[part])
            torch.autograd.backward(loss)
            optimiser.step()
            total += float(loss.detach()) * len(part)
        print(f"   epoch {epoch + 1}: loss {total / len(x):.4f}, {time.perf_counter() - started:.0f} s", flush=True)
    return net.eval()


def noisy(x: Tensor, kind: str) -> Tensor:
    """The digits with a Gaussian background: everywhere, but for 3 pixels around the digit, or but for a frame."""
    if kind == "clean":
        return x
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).mul(2).clamp(0, 1)
    digit = x > 0
    near = nn.functional.max_pool2d(digit.float(), 7, 1, 3) > 0
    if kind == "gauss":
        return torch.where(digit, x, noise)
    if kind == "outline":
        return torch.where(near, x, noise)
    ring = torch.minimum(torch.arange(28), 27 - torch.arange(28))
    outwards = torch.minimum(ring[:, None], ring[None]).flatten().argsort(stable=True).argsort()
    clean = (near & ~digit).flatten(1).sum(1)  # as many clean pixels as the outline has
    frame = outwards[None] < clean[:, None]
    return torch.where(digit | frame.view_as(digit), x, noise)


def shares(model: Model, x: Tensor) -> Mapping[str, Any]:
    """The number of units, and the mean shares of them that an input activates, and that max pooling passes on."""
    resources = InMemory({"training": InMemoryDataset(x)})
    info: Mapping[str, Any] = parse_method("activation_rates").explain(model, no_input(model, resources)).info[0]
    return info


def sheet(model: Model, x: Tensor, resources: InMemory) -> Image.Image:
    """A row per digit and kind of noise: the input and every method's map, each on its own scale."""
    kinds = [noisy(x, kind) for kind in SEED]
    rows = [one for digit in range(len(x)) for one in (kind[digit : digit + 1] for kind in kinds)]
    page = Image.new("RGB", (LEFT + STEP * (len(COLUMNS) + 1), TOP + STEP * len(rows)), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for column, name in enumerate(HEADINGS):
        write(draw, (LEFT + STEP * column, 3), name, 11)
    for row, image in enumerate(rows):
        batch = batch_of(image, resources=resources)
        write(draw, (4, TOP + STEP * row + 40), list(SEED)[row % len(SEED)], 11)
        write(draw, (4, TOP + STEP * row + 56), f"predicted {int(model.outputs(batch).argmax())}", 11)
        maps = [parse_method(name).explain(model, batch).arrays["attribution"] for name in COLUMNS]
        shown = [enlarged(grays(-image[0, 0].numpy(), signed=False), SIDE), *map(_heat, maps)]
        for column, picture in enumerate(shown):
            page.paste(picture, (LEFT + STEP * column, TOP + STEP * row))
    return page


def _heat(values: Tensor) -> Image.Image:
    shown = scaled(plane(values[0].numpy(), "sum"), Look(clip=99.5))
    return enlarged(colours(shown.values, "blue_red"), SIDE)


def main() -> int:
    path, epochs = Path(sys.argv[1]) if len(sys.argv) > 1 else MNIST, int(sys.argv[2]) if len(sys.argv) > 2 else 4
    stored = np.load(path)
    x, test = (torch.from_numpy(stored[name][:, None]).float() / 255 for name in ("x_train", "x_test"))
    model = model_of(train(x, torch.from_numpy(stored["y_train"]).long(), epochs), (1, 28, 28), low=0.0, high=1.0)
    truth = torch.from_numpy(stored["y_test"]).long()
    print("   digits   accuracy (seed)   units active, v > 0 (seed)   passed on by pooling")
    for kind, (accuracy, share) in SEED.items():
        shown = noisy(test, kind)
        found = shares(model, shown[:2000])
        right = float((model.forward(shown).argmax(1) == truth).double().mean())
        units = f"{found['active']:6.1%} of {found['units']} ({share} %)   {found['passed']:6.1%}"
        print(f"   {kind:8} {right:6.1%} ({accuracy} %)   {units}", flush=True)
    PICTURE.parent.mkdir(exist_ok=True)
    sheet(model, test[list(DIGITS)], InMemory({"training": InMemoryDataset(x[:2000])})).save(PICTURE)
    print(f"   drawn: {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
