"""Which explanations stay when the input is shifted and the model makes up for it? (the book's Fig. 14.2 to 14.5)

Use: python -m reproductions.shift DIGITS, an .npz of MNIST: x_train, y_train, x_test, y_test. Trains the book's net,
three layers of 1024 (some minutes), prints who stays beside what the book says, and draws pictures/shift.png.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from service.render.colormaps import colours
from service.render.heatmap import enlarged
from service.render.text import write
from tests.resources import InMemory, InMemoryDataset, no_input
from tests.toys import batch_of, model_of
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method
from workers.methods.evaluation.input_shift_invariance.paired_explanations import Pair
from workers.methods.nested.attributions import attributions

PICTURE = Path(__file__).parent / "pictures" / "shift.png"
EPOCHS, RATE, BATCH = 10, 0.1, 50
JUDGED = 100
IG: dict[str, Any] = {"name": "integrated_gradients"}
BLACK: dict[str, Any] = {**IG, "baseline": "minimum"}
LRP: dict[str, Any] = {"name": "lrp", "composite": "epsilon"}
# Method, the book's name of it, and what the book says of the constant shift and of the checkerboard; None: nothing.
SEED: list[tuple[Any, str, bool | None, bool | None]] = [
    ("gradient", "gradient", True, None),
    ("pattern_net", "PatternNet", True, None),
    ("guided_backprop", "guided backprop", True, None),
    ("input_times_gradient", "gradient times input", False, False),
    (IG, "IG, zero", False, False),
    (BLACK, "IG, black", True, False),
    (LRP, "DTD, zero (LRP-epsilon)", False, False),
    ("pattern_attribution", "DTD, PatternAttribution", True, True),
]
SIDE, STEP, LEFT = 84, 92, 210


class Resources(InMemory):
    """What is kept on the way is a job's own: here all jobs would share it."""

    def saved(self, _: str) -> None:
        return None


def network() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for read, made in ((784, 1024), (1024, 1024), (1024, 1024)):
        layers += [nn.Linear(read, made), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(1024, 10))


def trained(x: Tensor, y: Tensor) -> nn.Sequential:
    """Mini-batch SGD, ten epochs."""
    torch.manual_seed(0)
    net = network()
    descent = torch.optim.SGD(net.parameters(), RATE)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(x)).split(BATCH):  # type: ignore[no-untyped-call]
            descent.zero_grad()
            nn.functional.cross_entropy(net(x[part]), y[part]).backward()  # type: ignore[no-untyped-call]
            descent.step()
    return net.eval()


def smooth(method: Any) -> dict[str, Any]:
    return {"name": "smooth_grad", "of": method, "samples": 10}


def judged(model: Model, resources: Resources, of: list[Any], shift: str) -> np.ndarray[Any, Any]:
    """The mean relative difference of each method over the digits judged."""
    asked = {"name": "input_shift_invariance", "of": of, "shift": shift, "amount": -1.0, "dataset": "judged"}
    return parse_method(asked).explain(model, no_input(model, resources)).rows()[0].arrays["scores"]


def sheet(model: Model, x: Tensor, resources: Resources) -> Image.Image:
    """For one digit the maps of each method: the net's, and those of the nets for both shifts, on one scale."""
    of = tuple(parse_method(one) for one, *_ in SEED)
    own = attributions(model, batch_of(x, resources=resources), of)
    columns = [own]
    for shift in ("constant", "checkerboard"):
        pair = Pair(model, shift, -1.0, 0.0, resources)
        wanted = model.resolve(batch_of(x))
        columns.append(attributions(pair.twin, Batch(x + pair.shift, wanted, [0], resources=pair.resources), of))
    page = Image.new("RGB", (LEFT + STEP * 3, 24 + STEP * len(of)), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for column, name in enumerate(("[0, 1]", "[-1, 0]", "checkerboard")):
        write(draw, (LEFT + STEP * column, 4), name, 12)
    for row, (_, name, *_) in enumerate(SEED):
        write(draw, (6, 24 + STEP * row + SIDE // 2), name, 13, anchor="lm")
        limit = float(own[row].abs().max())
        for column, found in enumerate(columns):
            values = (found[row][0, 0] / limit).clamp(-1, 1).numpy()
            picture = enlarged(colours(values, "blue_red"), SIDE)
            corner = LEFT + STEP * column, 24 + STEP * row
            draw.rectangle((corner[0] - 1, corner[1] - 1, corner[0] + SIDE, corner[1] + SIDE), outline=(200, 200, 204))
            page.paste(picture, corner)
    return page


def main() -> int:
    stored = np.load(sys.argv[1])
    x, test = (torch.from_numpy(stored[name][:, None]).float() / 255 for name in ("x_train", "x_test"))
    net = trained(x, torch.from_numpy(stored["y_train"]).long())
    model = model_of(net, (1, 28, 28), low=0.0, high=1.0)
    right = (model.forward(test).argmax(1).numpy() == stored["y_test"]).mean()
    print(f"accuracy {right:.1%} (seed 98.3 %)")
    resources = Resources({"training": InMemoryDataset(x), "judged": InMemoryDataset(test[:JUDGED])})
    plain = [method for method, *_ in SEED]
    print(f"{'method':28} {'constant':>22} {'checkerboard':>22} {'SmoothGrad, constant':>22}")
    found = [judged(model, resources, plain, shift) for shift in ("constant", "checkerboard")]
    found.append(judged(model, resources, [smooth(method) for method in plain], "constant"))
    for (_, name, constant, board), *values in zip(SEED, *found, strict=True):
        told = (constant, board, constant)
        cells = [f"{'stays' if v < 1e-3 else 'moves'} {v:.2g} ({_said(s)})" for v, s in zip(values, told, strict=True)]
        print(f"{name:28} " + " ".join(f"{cell:>22}" for cell in cells))
    PICTURE.parent.mkdir(exist_ok=True)
    sheet(model, test[:1], resources).save(PICTURE)
    return 0


def _said(stays: bool | None) -> str:
    return "-" if stays is None else "stays" if stays else "moves"


if __name__ == "__main__":
    sys.exit(main())
