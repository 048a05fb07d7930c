"""Trains the demo model: python models/digits/train.py --data mnist.npz [--epochs 20] [--examples examples].

Writes weights.safetensors beside this file and prints the accuracy to put into card.toml.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from data import Digits, read_digits
from net import build
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

SEED = 20261120
BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="mnist.npz, or a folder with the four idx files")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--examples", type=Path, help="also write ten test digits here, as 0.png to 9.png")
    options = parser.parse_args()
    digits = read_digits(options.data)
    model = train(digits, options.epochs)
    save_file(model.state_dict(), Path(__file__).with_name("weights.safetensors"))
    scores = predict(model, digits.x_test)
    print(f"test accuracy {(scores.argmax(1) == digits.y_test).mean():.4f} on {len(digits.y_test)} digits")
    if options.examples:
        write_examples(options.examples, digits, scores)


def train(digits: Digits, epochs: int) -> nn.Module:
    """Cross-entropy by AdamW, one cycle of the learning rate, every batch slightly turned, scaled and moved."""
    torch.manual_seed(SEED)
    draw = torch.Generator().manual_seed(SEED)
    model = build()
    x, y = to_tensor(digits.x_train), torch.from_numpy(digits.y_train.astype(np.int64))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=draw)
        for rows in order[: len(x) // BATCH * BATCH].split(BATCH):
            loss = cross_entropy(model(augment(x[rows], draw)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: loss of the last batch {loss.item():.4f}", flush=True)
    return model.eval()


def augment(x: Tensor, draw: torch.Generator) -> Tensor:
    """Each image turned by up to 12 degrees, scaled by up to 10 % and moved by up to 2 pixels."""
    turn, scale, dx, dy = (torch.rand(4, len(x), generator=draw) * 2 - 1) * torch.tensor(
        [[0.21], [0.1], [2 / 14], [2 / 14]]
    )
    cos, sin = torch.cos(turn) * (1 + scale), torch.sin(turn) * (1 + scale)
    affine = torch.stack([torch.stack([cos, -sin, dx], 1), torch.stack([sin, cos, dy], 1)], 1)
    grid = affine_grid(affine, list(x.shape), align_corners=False)
    return grid_sample(x, grid, align_corners=False)


@torch.no_grad()
def predict(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities (n, 10)."""
    parts = [model(part).softmax(1) for part in to_tensor(images).split(1000)]
    return torch.cat(parts).numpy()


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """(n, 28, 28) bytes to (n, 1, 28, 28) floats, black 0 and white 1, as card.toml says."""
    return torch.from_numpy(images[:, None] / np.float32(255))


def write_examples(folder: Path, digits: Digits, scores: NDArray[np.float32]) -> None:
    """The first test image of each digit that the model gives a probability of at least 99 %."""
    folder.mkdir(parents=True, exist_ok=True)
    for digit in range(10):
        sure = (digits.y_test == digit) & (scores[:, digit] >= 0.99)
        index = int(np.flatnonzero(sure)[0])
        Image.fromarray(digits.x_test[index]).save(folder / f"{digit}.png")
        print(f"{digit}.png is test image {index}")


if __name__ == "__main__":
    main()
