"""Monte Carlo dropout on a rotated 1: does an explanation tell how unsure the net is? (seed: S3 3.1, Fig. 18, 19)

Use: python reproductions/mc_dropout.py DIGITS [SAMPLES], where DIGITS is an .npz of MNIST: x_train, y_train, x_test,
y_test. Trains a small net with dropout (about two minutes on one core), prints what it finds, and draws
pictures/mc_dropout_outputs.png and pictures/mc_dropout_maps.png.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from scipy.ndimage import rotate
from torch import Tensor, nn

from service.render.colormaps import colours
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.result import Row
from workers.explanation.target import RankTarget
from workers.export import archive
from workers.methods.catalogue import parse_method
from workers.models.export.program import export_module
from workers.models.folder import read_folder
from workers.models.loading import load_model

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of what draws

HERE = Path(__file__).parent
ANGLES = tuple(range(0, 181, 20))
STEPS = 1500
# The seed's composite: LRP-0 at the top, epsilon in the middle, alpha-beta below.
LRP: dict[str, Any] = {
    "name": "lrp",
    "composite": [
        {"layers": "10", "rule": "zero"},
        {"ops": "linear", "rule": "epsilon"},
        {"rule": "alpha_beta", "alpha": 2.0},
    ],
}
CARD = """[model]
source = "model.pt2"
output = "logits"
[input]
kind = "image"
shape = [1, 28, 28]
[input.image]
mode = "L"
resize = [28, 28]
"""


def net() -> nn.Sequential:
    """Two convolutions, two linear layers, dropout before and between these."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def trained(x: Tensor, y: Tensor) -> nn.Sequential:
    """By Adam, batches of 64, the same each time."""
    torch.manual_seed(0)
    module = net()
    descent = torch.optim.Adam(module.parameters(), 1e-3)
    for _ in range(STEPS):
        at = torch.randint(len(x), (64,))
        loss = nn.functional.cross_entropy(module(x[at]), y[at])
        descent.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        descent.step()
    return module.eval()


def served(module: nn.Module) -> Model:
    """The net as a worker would load it from its folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "digits"
        folder.mkdir()
        (folder / "card.toml").write_text(CARD)
        (folder / "model.pt2").write_bytes(archive(export_module(module, (1, 28, 28), "digits"), "digits"))
        return load_model(read_folder(folder))


def explained(model: Model, x: Tensor, samples: int, approach: str) -> Row:
    """mc_dropout on one image for its predicted class."""
    method = parse_method({"name": "mc_dropout", "of": LRP, "samples": samples, "approach": approach})
    return method.explain(model, Batch(x[None], [RankTarget(rank=0)], [0])).rows()[0]


def red(maps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of each map the share of the relevance's size that is positive."""
    flat = maps.reshape(len(maps), -1)
    share: np.ndarray[Any, Any] = np.clip(flat, 0, None).sum(1) / np.abs(flat).sum(1).clip(1e-12)
    return share


def outputs(rows: list[Row]) -> None:
    """What the samples say of each rotation: logits and probabilities of the three classes met most."""
    scores = np.stack([row.arrays["outputs"] for row in rows])
    chances = np.exp(scores - scores.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    met = chances.mean(1).sum(0).argsort()[::-1][:3]
    figure, axes = plt.subplots(2, 1, figsize=(9, 6.4), layout="constrained")
    spread = np.random.default_rng(0).uniform(-0.3, 0.3, scores.shape[1])
    for axis, values, name in zip(axes, (scores, chances), ("logit", "probability"), strict=True):
        for index, colour in zip(met, ("#2e7d32", "#1565c0", "#c62828"), strict=True):
            for at in range(len(ANGLES)):
                label = f"class {index}" if at == 0 and name == "logit" else None
                axis.scatter(
                    at + spread, values[at, :, index], s=3, alpha=0.25, color=colour, linewidths=0, label=label
                )
        axis.set_xlim(-0.5, len(ANGLES) - 0.5)
        axis.set_xticks(range(len(ANGLES)), [f"{angle}°" for angle in ANGLES])
        axis.set_ylabel(name)
    for handle in figure.legend(loc="outside upper right", ncols=3, markerscale=5).legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    figure.savefig(HERE / "pictures" / "mc_dropout_outputs.png", dpi=110)


def maps(panels: list[tuple[str, Row]]) -> None:
    """The maps by class, with how many samples predicted each."""
    figure, axes = plt.subplots(len(panels), 10, figsize=(13, 1.75 * len(panels) + 0.4), layout="constrained")
    for line, (title, row) in zip(axes, panels, strict=True):
        found = row.arrays["by_class"].sum(1)
        limit = np.abs(found).max()
        for axis, values, told in zip(line, found, row.info["classes"], strict=True):
            axis.imshow(colours((values / limit).astype(np.float32), "blue_red"))
            axis.set_title(f"{told['index']}", fontsize=10)
            axis.set_xlabel(f"{told['predicted']}", fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(f"{title}\n±{limit:.2g}", fontsize=9)
    figure.savefig(HERE / "pictures" / "mc_dropout_maps.png", dpi=110)


def main(digits: Path, samples: int) -> None:
    data = np.load(digits)
    x, y = torch.from_numpy(data["x_train"]).float().view(-1, 1, 28, 28), torch.from_numpy(data["y_train"]).long()
    x_test, y_test = torch.from_numpy(data["x_test"]).float().view(-1, 1, 28, 28), data["y_test"]
    module = trained(x / x.max(), y)
    model = served(module)
    accuracy = (model.forward(x_test / x_test.max()).argmax(1).numpy() == y_test).mean()
    one = (x_test / x_test.max())[int(np.flatnonzero(y_test == 1)[0])]
    images = [
        torch.from_numpy(rotate(one[0].numpy(), angle, reshape=False, order=1)).clamp(0, 1)[None] for angle in ANGLES
    ]
    rows = [explained(model, image, samples, "predicted") for image in images]
    print(f"accuracy on the test digits {accuracy:.4f}; {samples} samples")
    print("angle, served class and probability, samples by class, entropy, mutual information (nats)")
    for angle, image, row in zip(ANGLES, images, rows, strict=True):
        chances = model.forward(image[None]).softmax(1)[0]
        won = {told["index"]: told["predicted"] for told in row.info["classes"] if told["predicted"]}
        told = f"{row.info['entropy']:.2f}, {row.info['mutual_information']:.2f}"
        print(f"{angle:4d}  {int(chances.argmax())} {float(chances.max()):.2f}  {won}  {told}")
    unsure = int(np.argmax([row.info["entropy"] for row in rows]))
    every = {at: explained(model, images[at], samples, "all") for at in (unsure, 0)}
    panels = [
        (f"{ANGLES[unsure]}°\napproach 1", rows[unsure]),
        (f"{ANGLES[unsure]}°\nAlgorithm 1", every[unsure]),
        (f"{ANGLES[0]}°\nAlgorithm 1", every[0]),
    ]
    for title, row in panels:
        shares = red(row.arrays["by_class"])
        print(
            title.replace("\n", " "),
            "share of positive relevance by class:",
            [round(float(share), 2) for share in shares],
        )
    outputs(rows)
    maps(panels)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
