"""Activation maximisation with an expert: a restricted Boltzmann machine, a denoiser (seed 003, 2.1.1; seed 004, ch. 4)

Use: python -m reproductions.density DIGITS [FOLDER], an .npz of MNIST: x_train, y_train, x_test, y_test. Trains a net,
a Gaussian restricted Boltzmann machine and a denoiser on digits (about two minutes on one core), makes up a digit of
each class with each prior, prints how a second net takes them, and draws pictures/density.png. With FOLDER the machine
and the denoiser are written there, to be served.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from reproductions import mnist
from reproductions.mc_dropout import served, trained
from reproductions.sheets import sheet
from tests.resources import InMemory, in_memory, no_input
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


def descended(descent: torch.optim.Optimizer, epochs: int, count: int, loss: Callable[[Tensor], Tensor]) -> None:
    """Batches of 100 in an order of chance; `loss` is of those numbers."""
    for _ in range(epochs):
        for at in torch.randperm(count).split(100):  # type: ignore[no-untyped-call]
            value = loss(at)
            descent.zero_grad()
            torch.autograd.backward(value)
            descent.step()


def contrasted(x: Tensor) -> Rbm:
    """By contrastive divergence of one step."""
    torch.manual_seed(0)
    machine = Rbm(x.mean(0))
    descent = torch.optim.SGD(machine.parameters(), 2e-4, momentum=0.9)

    def loss(at: Tensor) -> Tensor:
        data = x[at]
        with torch.no_grad():
            hidden = torch.bernoulli(torch.sigmoid(machine.c + data.flatten(1) / SIGMA**2 @ machine.w))
            drawn = machine.b + hidden @ machine.w.T + SIGMA * torch.randn(len(data), 784)
        value: Tensor = machine(drawn.view_as(data)).mean() - machine(data).mean()
        return value

    descended(descent, EPOCHS, len(x), loss)
    return machine.eval()


def denoiser(x: Tensor) -> nn.Module:
    """An autoencoder that is shown digits with noise and asked for them without."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU(),
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 784), nn.Unflatten(1, (1, 28, 28)),
    )  # fmt: skip
    descent = torch.optim.Adam(net.parameters(), 1e-3)
    descended(descent, EPOCHS, len(x), lambda at: mse_loss(net(x[at] + NOISE * torch.randn_like(x[at])), x[at]))
    return net.eval()


def other(x: Tensor, y: Tensor) -> nn.Module:
    """A net of another form, which judges what was made up."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10))
    descent = torch.optim.Adam(net.parameters(), 1e-3)
    descended(descent, 5, len(x), lambda at: nn.functional.cross_entropy(net(x[at]), y[at]))
    return net.eval()


def main() -> int:
    x, y, _, _ = mnist.read(sys.argv[1])
    model, judge = served(trained(x, y)), other(x, y)
    machine, cleaner = contrasted(x[:SEEN]), denoiser(x[:SEEN])
    digits, noise = x[SEEN : SEEN + 500], torch.rand(500, 1, 28, 28)
    with torch.no_grad():
        apart = float(machine(digits).mean() - machine(noise).mean())
        left = float(mse_loss(cleaner(digits + NOISE * torch.randn_like(digits)), digits).sqrt())
    print(f"log p of digits less that of noise: {apart:.0f}; the denoiser leaves {left:.2f} of noise {NOISE}")
    resources = in_memory(x[:SEEN], y[:SEEN].numpy())
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
