"""Trains seven small models for the gallery's pictures of what is no image. Use: python docs/gallery_models.py FOLDER

Each folder gets a model of its own and, as input.npy, one input to explain; of two inputs one.npy and other.npy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tomli_w
import torch
from sklearn.datasets import load_digits, load_wine
from torch import Tensor, nn

STEPS, RATE, COUNT = 150, 0.01, 512
WORDS = [
    "a", "bad", "boring", "brilliant", "but", "dull", "film", "fine", "good", "great", "in", "is", "it", "lovely", "of",
    "plot", "poor", "slow", "the", "this", "very", "weak", "with",
]  # fmt: skip
TONE = dict.fromkeys(("brilliant", "great", "lovely"), 2) | dict.fromkeys(("fine", "good"), 1)
TONE |= dict.fromkeys(("bad", "boring"), -2) | dict.fromkeys(("dull", "poor", "slow", "weak"), -1)


def trained(net: nn.Module, x: Tensor, y: Tensor) -> nn.Module:
    """The net after some steps of gradient descent on all of the data."""
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    for _ in range(STEPS):
        chosen = torch.randint(len(x), (64,))
        loss = nn.functional.cross_entropy(net(x[chosen]), y[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"accuracy {(net(x[:256]).argmax(1) == y[:256]).float().mean():.3f}")
    return net.eval()


def write(folder: Path, net: nn.Module, seen: Tensor, axes: list[str], labels: list[str], names: list[str]) -> None:
    """The model's folder, and in it the input."""
    folder.mkdir(parents=True, exist_ok=True)
    batch = torch.export.Dim("batch")
    example = torch.stack([seen, seen])
    torch.export.save(torch.export.export(net, (example,), dynamic_shapes=({0: batch},)), folder / "model.pt2")
    card = {"model": {"source": "model.pt2"}, "labels": {"file": "labels.txt"}}
    card["input"] = {"kind": "tensor", "shape": list(seen.shape), "axes": axes, **({"names": names} if names else {})}
    (folder / "card.toml").write_text(tomli_w.dumps(card))
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    np.save(folder / "input.npy", seen.numpy())


def wine(at: Path) -> None:
    """Thirteen measurements of a wine, and which of three growers made it."""
    data = load_wine()
    x = torch.tensor((data.data - data.data.mean(0)) / data.data.std(0), dtype=torch.float32)
    net = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))
    trained(net, x, torch.tensor(data.target))
    write(at / "wine", net, x[0], ["feature"], [f"grower {i}" for i in range(3)], list(data.feature_names))


def words(at: Path) -> None:
    """How often each word is in a review, and whether the words' tones sum to praise."""
    x = torch.poisson(torch.full((COUNT, len(WORDS)), 0.5))
    y = (x @ torch.tensor([float(TONE.get(word, 0)) for word in WORDS]) > 0).long()
    net = nn.Sequential(nn.Linear(len(WORDS), 32), nn.ReLU(), nn.Linear(32, 2))
    write(at / "words", trained(net, x, y), x[(y == 1).nonzero()[0, 0]], ["token"], ["blame", "praise"], WORDS)


def beats(at: Path) -> None:
    """Two leads of noise and waves; a narrow spike on the first is the class."""
    x = torch.sin(torch.linspace(0, 25, 160)).repeat(COUNT, 2, 1) + 0.15 * torch.randn(COUNT, 2, 160)
    y, places = torch.randint(2, (COUNT,)), torch.randint(20, 140, (COUNT,))
    for i in (y == 1).nonzero()[:, 0].tolist():
        x[i, 0, places[i] : places[i] + 4] += torch.tensor([1.0, 2.2, -1.6, -0.6])
    net = nn.Sequential(
        nn.Conv1d(2, 12, 7, padding=3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(12, 12, 5, padding=2), nn.ReLU(),
        nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(12, 2),
    )  # fmt: skip
    seen = x[(y == 1).nonzero()[0, 0]]
    write(at / "beats", trained(net, x, y), seen, ["channel", "time"], ["even", "spike"], ["lead I", "lead II"])


class Steps(nn.Module):
    """An LSTM, read after its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 12, batch_first=True), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        read: Tensor = self.head(self.lstm(x)[0][:, -1])
        return read


def steps(at: Path) -> None:
    """Twelve numbers; whether those of the second half are the larger ones. Beside them what is known of each step."""
    x = torch.randn(COUNT, 12, 1)
    y = (x[:, 6:].sum((1, 2)) > x[:, :6].sum((1, 2))).long()
    write(at / "steps", trained(Steps(), x, y), x[(y == 1).nonzero()[0, 0]], ["time", "feature"], ["fall", "rise"], [])
    known = torch.stack([x[..., 0], x[..., 0].cumsum(1), torch.arange(12.0).expand(COUNT, 12)], 2)
    np.savez(at / "steps" / "data.npz", inputs=x.numpy(), series=known.numpy())


def solid(depth: str) -> tuple[Tensor, Tensor]:
    """Balls in a block of noise: that move right or left from frame to frame, or large or small ones in a volume."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(16.0)] * 3, indexing="ij"))
    y, middle = torch.randint(2, (COUNT // 2,)), torch.randint(5, 11, (COUNT // 2, 3)).float()
    x = 0.2 * torch.rand(COUNT // 2, 1, 16, 16, 16)
    for i, kind in enumerate(y.tolist()):
        if depth == "frame":
            across = grid[0] if kind else 15 - grid[0]
            away = (grid[1] - middle[i, 1]) ** 2 + (grid[2] - across) ** 2
            x[i, 0] += torch.exp(-away / 4)
        else:
            away = sum((grid[k] - middle[i, k]) ** 2 for k in range(3))
            x[i, 0] += torch.exp(-away / (18 if kind else 5))
    return x, y


def block() -> nn.Module:
    """A small net over blocks."""
    return nn.Sequential(
        nn.Conv3d(1, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv3d(8, 12, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(12 * 64, 2),
    )  # fmt: skip


class Likeness(nn.Module):
    """The scalar product of what one encoder makes of two pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, bias=False),
            nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 24, bias=False),
        )  # fmt: skip

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return (self.encoder(one) * self.encoder(other)).sum(1)


def likeness(at: Path) -> None:
    """Two handwritten digits, and how much they are one and the same."""
    data = load_digits()
    x, y = torch.tensor(data.images / 16, dtype=torch.float32)[:, None], torch.tensor(data.target)
    net = Likeness()
    optimiser = torch.optim.Adam(net.parameters(), RATE / 4)
    for _ in range(4 * STEPS):
        one, other = torch.randint(len(x), (2, 256))
        other = torch.where(torch.rand(256) < 0.4, one[torch.randperm(256)], other)
        alike = (y[one] == y[other]).float()
        loss = nn.functional.mse_loss(net(x[one], x[other]), 2 * alike)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    first, second = (y == 3).nonzero()[:2, 0].tolist()
    folder = at / "likeness"
    folder.mkdir(parents=True, exist_ok=True)
    batch = torch.export.Dim("batch")
    example = torch.stack([x[first], x[first]]), torch.stack([x[second], x[second]])
    program = torch.export.export(net.eval(), example, dynamic_shapes=({0: batch}, {0: batch}))
    torch.export.save(program, folder / "model.pt2")
    spec = {"kind": "tensor", "shape": [1, 8, 8], "axes": ["channel", "height", "width"]}
    card = {"model": {"source": "model.pt2", "output": "value"}, "inputs": {"one": spec, "other": spec}}
    (folder / "card.toml").write_text(tomli_w.dumps(card))
    for name, i in (("one", first), ("other", second)):
        np.save(folder / f"{name}.npy", x[i].numpy())


if __name__ == "__main__":
    torch.manual_seed(0)
    to = Path(sys.argv[1])
    for make in (wine, words, beats, steps, likeness):
        make(to)
    for name, along, kinds in (("clips", "frame", ["left", "right"]), ("scans", "depth", ["small", "large"])):
        blocks, classes = solid(along)
        seen = blocks[(classes == 1).nonzero()[0, 0]]
        write(to / name, trained(block(), blocks, classes), seen, ["channel", along, "height", "width"], kinds, [])
