"""Activation maximisation with an expert: a restricted Boltzmann machine, a denoiser (seed 003, 2.1.1; seed 004, ch. 4)

Use: python -m reproductions.density DIGITS [FOLDER], an .npz of MNIST: x_train, y_train, x_test, y_test. Trains a net,
a Gaussian restricted Boltzmann machine and a denoiser on digits (about two minutes on one core), makes up a digit of
each class with each prior, prints how a second net takes them, and draws pictures/density.png. With FOLDER the machine
and the denoiser are written there, to be served.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from reproductions.mc_dropout import served, trained
from reproductions.sheets import sheet
from tests.resources import InMemory, InMemoryDataset, no_input
from tests.toys import model_of
from workers.explanation.target import ClassTarget
from workers.export import archive
from workers.methods.catalogue import parse_method
from workers.models.export.program import export_module

HIDDEN, SIGMA, NOISE, EPOCHS, SEEN = 128, 0.35, 0.35, 12, 5000
PRIORS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "Gaussian": [{"kind": "expert", "weight": 0.05}],
    "RBM": [{"kind": "density", "model": "rbm", "weight": 0.2}],
    "denoiser": [{"kind": "denoiser", "model": "denoiser", "noise": NOISE, "weight": 0.2}],
    "denoiser, noise": [
        {"kind": "denoiser", "model": "denoiser", "noise": NOISE, "weight": 0.2},
        {"kind": "noise", "width": 0.02},
    ],
}


class Rbm(nn.Module):
    """log p of images (n, 1, 28, 28) of a machine with Gaussian visible units, but for a constant."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.b = nn.Parameter(mean.flatten().clone())
        self.c = nn.Parameter(torch.full((HIDDEN,), -1.0))
        self.w = nn.Parameter(0.02 * torch.randn(784, HIDDEN, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        near = -((flat - self.b) / SIGMA).square().sum(1, keepdim=True) / 2
        return near + softplus(self.c + flat / SIGMA**2 @ self.w).sum(1, keepdim=True)


def contrasted(x: Tensor) -> Rbm:
    """By contrastive divergence of one step, batches of 100."""
    torch.manual_seed(0)
    machine = Rbm(x.mean(0))
    descent = torch.optim.SGD(machine.parameters(), 2e-4, momentum=0.9)
    for _ in range(EPOCHS):
        for at in torch.randperm(len(x)).split(100):
            data = x[at]
            with torch.no_grad():
                hidden = torch.bernoulli(torch.sigmoid(machine.c + data.flatten(1) / SIGMA**2 @ machine.w))
                drawn = machine.b + hidden @ machine.w.T + SIGMA * torch.randn(len(data), 784)
            loss = machine(drawn.view_as(data)).mean() - machine(data).mean()
            descent.zero_grad()
            torch.autograd.backward(loss)
            descent.step()
    return machine.eval()


def denoiser(x: Tensor) -> nn.Module:
    """An autoencoder that is shown digits with noise and asked for them without."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 784), nn.Unflatten(1, (1, 28, 28)),
    )  # fmt: skip
    descent = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(EPOCHS):
        for at in torch.randperm(len(x)).split(100):
            loss = mse_loss(net(x[at] + NOISE * torch.randn_like(x[at])), x[at])
            descent.zero_grad()
            torch.autograd.backward(loss)
            descent.step()
    return net.eval()


def other(x: Tensor, y: Tensor) -> nn.Module:
    """A net of another form, which judges what was made up."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10))
    descent = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(5):
        for at in torch.randperm(len(x)).split(100):
            loss = nn.functional.cross_entropy(net(x[at]), y[at])
            descent.zero_grad()
            torch.autograd.backward(loss)
            descent.step()
    return net.eval()


def main() -> int:
    stored = np.load(sys.argv[1])
    x = torch.from_numpy(stored["x_train"][:, None]).float() / 255
    y = torch.from_numpy(stored["y_train"]).long()
    model, judge = served(trained(x, y)), other(x, y)
    machine, cleaner = contrasted(x[:SEEN]), denoiser(x[:SEEN])
    digits, noise = x[SEEN : SEEN + 500], torch.rand(500, 1, 28, 28)
    with torch.no_grad():
        apart = float(machine(digits).mean() - machine(noise).mean())
        left = float(mse_loss(cleaner(digits + NOISE * torch.randn_like(digits)), digits).sqrt())
    print(f"log p of digits less that of noise: {apart:.0f}; the denoiser leaves {left:.2f} of noise {NOISE}")
    resources = InMemory({"training": InMemoryDataset(x[:SEEN], stored["y_train"][:SEEN].astype(np.int64))})
    for name, module in (("rbm", machine), ("denoiser", cleaner)):
        resources.models[name] = model_of(module, (1, 28, 28), output="value")
        if len(sys.argv) > 2:
            write(Path(sys.argv[2]) / name, module)
    rows = []
    for name, priors in PRIORS.items():
        made = np.stack([made_up(model, digit, priors, resources) for digit in range(10)])
        with torch.no_grad():
            p = judge(torch.from_numpy(made)).softmax(1)[torch.arange(10), torch.arange(10)]
        print(f"{name:16} the other net sees the class in {int((p > 0.5).sum())} of 10, p {float(p.mean()):.2f}")
        rows.append((name, [one[0] for one in made]))
    sheet("density", [str(digit) for digit in range(10)], rows)
    return 0


def made_up(model: Any, digit: int, priors: list[dict[str, Any]], resources: InMemory) -> NDArray[np.float32]:
    """What the class likes best, (1, 28, 28)."""
    batch = no_input(model, resources)
    batch.targets, batch.seeds = [ClassTarget(index=digit)], [0]
    asked = {"name": "activation_maximization", "priors": priors, "dataset": "training", "score": "log_probability"}
    found = parse_method({**asked, "steps": 150, "rate": 0.05}).explain(model, batch)
    return np.asarray(found.arrays["synthesis"][0, 0].numpy(), np.float32)


def write(folder: Path, module: nn.Module) -> None:
    """The model as Whence serves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt2").write_bytes(archive(export_module(module, (1, 28, 28), folder.name), folder.name))
    card = '[model]\nsource = "model.pt2"\noutput = "value"\n[input]\nkind = "tensor"\nshape = [1, 28, 28]\n'
    (folder / "card.toml").write_text(card)


if __name__ == "__main__":
    sys.exit(main())
