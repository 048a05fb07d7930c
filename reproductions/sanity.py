"""Do explanations depend on what a net has learned? (seed 000, Fig. 7)

Use: python -m reproductions.sanity IMAGES [NETS], an .npz of CIFAR-10: x_train (n, 32, 32, 3) uint8 and y_train. Trains
so many 2CONV nets (default 5) on the images, each beside one on shuffled labels, and prints Spearman's correlation of
their explanations, and of those of untrained nets; draws pictures/sanity.png.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from service.render.plots.scores import png
from tests.resources import InMemory, InMemoryDataset, no_input
from tests.toys import model_of
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method

PICTURE = Path(__file__).parent / "pictures" / "sanity.png"
SIDE, JUDGED, DEEP = 24, 100, 10
OF: list[Any] = [
    "insens", "gradient", {"name": "integrated_gradients", "steps": 20}, {"name": "lrp", "composite": "epsilon"},
    {"name": "deep_taylor"},
]  # fmt: skip
NAMES = ["Insens, penultimate layer", "gradient", "integrated gradients", "LRP-epsilon", "deep Taylor"]
LAYERS = ["0", "3", "7"]


class Resources(InMemory):
    """What is kept on the way is a job's own: here all jobs would share it."""

    def saved(self, _: str) -> None:
        return None


def network() -> nn.Sequential:
    """2CONV of appendix B for 24 x 24 colour images, Glorot uniform weights, no biases at the start."""
    net = nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 36, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip
    for name, parameter in net.named_parameters():
        (nn.init.xavier_uniform_ if name.endswith("weight") else nn.init.zeros_)(parameter)
    return net


def trained(x: Tensor, y: Tensor, seed: int) -> tuple[nn.Sequential, float]:
    """By Adam until nearly all labels are learned; with the share that is."""
    torch.manual_seed(seed)
    net, right = network(), 0.0
    descent = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(60):
        right = 0.0
        for part in torch.randperm(len(x)).split(50):  # type: ignore[no-untyped-call]
            descent.zero_grad()
            outputs = net(x[part])
            nn.functional.cross_entropy(outputs, y[part]).backward()  # type: ignore[no-untyped-call]
            descent.step()
            right += float((outputs.argmax(1) == y[part]).sum()) / len(x)
        if right > 0.99:
            break
    return net.eval(), right


def likeness(model: Model, other: Model, of: list[Any], resources: Resources) -> np.ndarray[Any, Any]:
    """Of each method the mean rank correlation between the two models, each for the class that it predicts."""
    resources.models["other"] = other
    asked = {"name": "randomization", "of": of, "other": "other", "own_target": True, "dataset": "judged"}
    return parse_method(asked).explain(model, no_input(model, resources)).rows()[0].arrays["scores"]


def main() -> int:
    stored, nets = np.load(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    x = torch.from_numpy(stored["x_train"]).permute(0, 3, 1, 2).float()[:, :, 4:28, 4:28] / 127.5 - 1
    y = torch.from_numpy(stored["y_train"]).long()
    found: dict[str, list[Any]] = {"untrained": [], "random labels": [], "layers, untrained": []}
    for seed in range(nets):
        started = time.perf_counter()
        mixed = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
        (net, learned), (parrot, parroted) = trained(x, y, seed), trained(x, mixed, seed + 100)
        torch.manual_seed(seed + 200)
        models = [model_of(one.eval(), (3, SIDE, SIDE), low=-1.0, high=1.0) for one in (net, parrot, network())]
        judged = x[seed * JUDGED % len(x) :][:JUDGED]
        resources = Resources({"training": InMemoryDataset(x[:500]), "judged": InMemoryDataset(judged)})
        found["untrained"].append(likeness(models[0], models[2], OF, resources))
        found["random labels"].append(likeness(models[0], models[1], OF, resources))
        resources.datasets["judged"] = InMemoryDataset(judged[:DEEP])  # type: ignore[index]  # a dict
        layers: list[Any] = [{"name": "insens", "layer": layer} for layer in LAYERS]
        found["layers, untrained"].append(likeness(models[0], models[2], layers, resources))
        took = time.perf_counter() - started
        print(
            f"net {seed}: learned {learned:.1%} of the labels, {parroted:.1%} of the shuffled; {took:.0f} s", flush=True
        )
    for kind, rows in found.items():
        names = [f"Insens of layer {layer}" for layer in LAYERS] if kind.startswith("layers") else NAMES
        print(f"\nrank correlation with {kind}")
        for name, mean, spread in zip(names, np.mean(rows, 0), np.std(rows, 0), strict=True):
            print(f"   {name:28} {mean:6.3f}  (std over nets {spread:.3f})")
    told = np.array([found["untrained"], found["random labels"]])
    info = {"methods": [{"label": f"{name}, {kind}"} for kind in ("untrained", "random labels") for name in NAMES],
            "measure": "rank correlation", "better": "lower", "inputs": nets * JUDGED}  # fmt: skip
    meta = {"method": {"name": "randomization", "dataset": "judged"}, "info": info, "model": {"name": "2CONV"}}
    error = told.std(1) / np.sqrt(nets)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(png(meta, {"scores": told.mean(1).ravel(), "standard_error": error.ravel()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
