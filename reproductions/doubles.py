"""MNISTdbl: an even digit, which is the label, beside an odd one, which is to be ignored (seed 000, Fig. 8-11)

Use: python -m reproductions.doubles DIGITS [EPOCHS], an .npz of MNIST: x_train, y_train, x_test, y_test. Trains a 2CONV
on 5000 pairs (about a minute on one core), prints which half of the input the maps lie on, for pairs as in training and
for such as never were, and draws pictures/doubles.png.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reproductions import mnist
from reproductions.projections import OF
from reproductions.sheets import sheet
from tests.resources import InMemory, in_memory
from tests.toys import batch_of, model_of
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method

PAIRS, JUDGED, CLASSES = 5000, 40, 5
KINDS = {"even and odd": (0, 1), "odd alone": (None, 1), "two even": (0, 0), "two odd": (1, 1)}


def pairs(x: Tensor, y: Tensor, kind: tuple[int | None, int | None], count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Digits of these parities side by side in random order (count, 1, 28, 56), and which (count, 2), -1 for none."""
    source = torch.Generator().manual_seed(seed)
    halves, digits = [], []
    for parity in kind:
        own = (y % 2 == parity).nonzero()[:, 0] if parity is not None else torch.zeros(1, dtype=torch.long)
        at = own[torch.randint(len(own), (count,), generator=source)]
        halves.append(x[at] if parity is not None else torch.zeros(count, *x.shape[1:]))
        digits.append(y[at] if parity is not None else torch.full((count,), -1))
    swapped = torch.rand(count, generator=source) < 0.5
    both, said = torch.stack(halves, 1), torch.stack(digits, 1)
    both[swapped], said[swapped] = both[swapped].flip(1), said[swapped].flip(1)
    return torch.cat([both[:, 0], both[:, 1]], 3), said


def network() -> nn.Sequential:
    """2CONV of the seed's appendix B for 28 x 56; Glorot uniform weights, no biases at the start."""
    net = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 98, 512), nn.ReLU(), nn.Linear(512, CLASSES),
    )  # fmt: skip
    for name, parameter in net.named_parameters():
        (nn.init.xavier_uniform_ if name.endswith("weight") else nn.init.zeros_)(parameter)
    return net


def labels(digits: Tensor) -> Tensor:
    """Of an even and an odd digit the even one, halved."""
    return torch.where(digits[:, 0] % 2 == 0, digits[:, 0], digits[:, 1]) // 2


def trained(x: Tensor, y: Tensor, epochs: int) -> nn.Sequential:
    """By Adam, batches of 50, the same each time."""
    torch.manual_seed(0)
    net = network()
    descent = torch.optim.Adam(net.parameters(), 1e-3)
    for epoch in range(epochs):
        started = time.process_time()
        for part in torch.randperm(len(x)).split(50):  # type: ignore[no-untyped-call]
            loss = nn.functional.cross_entropy(net(x[part]), y[part])
            descent.zero_grad()
            torch.autograd.backward(loss)
            descent.step()
        print(f"epoch {epoch + 1}: {time.process_time() - started:.0f} CPU seconds", flush=True)
    return net.eval()


def maps(model: Model, x: Tensor, resources: InMemory) -> dict[str, NDArray[np.float64]]:
    """Every method's map of every input, (n, 28, 56); deep Taylor's is empty where the score is negative."""
    found = {}
    for name, method in OF.items():
        rows = [_map(model, batch_of(one[None], resources=resources), method) for one in x]
        found[name] = np.stack(rows)
    return found


def _map(model: Model, batch: Batch, method: Any) -> NDArray[np.float64]:
    if method == "deep_taylor" and float(model.outputs(batch).max()) < 0:
        return np.zeros((28, 56))
    values = parse_method(method).explain(model, batch).arrays["attribution"][0, 0]
    return np.asarray(values.detach().numpy(), np.float64)


def left(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of each map's size on the left half; half of an empty one."""
    size = np.abs(values)
    whole = size.sum((1, 2))
    return np.where(whole > 0, size[:, :, :28].sum((1, 2)) / np.where(whole > 0, whole, 1), 0.5)


def signed(values: NDArray[np.float64], at_left: NDArray[np.bool_]) -> float:
    """The mean of a half's relevance as a share of the size of all, whose half `at_left` says."""
    half = np.where(at_left, values[:, :, :28].sum((1, 2)), values[:, :, 28:].sum((1, 2)))
    return float((half / np.abs(values).sum((1, 2)).clip(1e-12)).mean())


def told(kind: str, found: dict[str, NDArray[np.float64]], digits: Tensor, predicted: Tensor) -> None:
    """Where the maps lie: on the even digit, on the only one, or on that which is predicted."""
    if kind == "two even":
        wanted = digits == 2 * predicted[:, None]
        clear = wanted.sum(1) == 1
        side, over = (
            wanted[:, 0],
            f"on the digit that is predicted ({int(clear.sum())} of {len(digits)} are one of the two)",
        )
    elif kind == "even and odd":
        clear, side, over = torch.ones(len(digits), dtype=torch.bool), digits[:, 0] % 2 == 0, "on the even digit"
    elif kind == "odd alone":
        clear, side, over = torch.ones(len(digits), dtype=torch.bool), digits[:, 0] >= 0, "on the only digit"
    else:
        print(f"{kind}: predicted {np.bincount(2 * predicted.numpy(), minlength=9)[::2].tolist()} of 0, 2, 4, 6, 8")
        return
    print(f"{kind}: share of each map's size {over}")
    for name, values in found.items():
        own, chosen = left(values), clear.numpy()
        share = np.where(side.numpy(), own, 1 - own)[chosen]
        both = [signed(values[chosen], side.numpy()[chosen]), signed(values[chosen], ~side.numpy()[chosen])]
        print(f"  {name:12} {share.mean():.2f}   summed there and beside {both[0]:+.2f} {both[1]:+.2f}")


def main() -> int:
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    x, y, test, truth = mnist.read(sys.argv[1])
    seen, digits = pairs(x, y, (0, 1), PAIRS, 0)
    module = trained(seen, labels(digits), epochs)
    model = model_of(module, (1, 28, 56), low=0.0, high=1.0)
    shown, of = pairs(test, truth, (0, 1), 1000, 1)
    right = float((model.forward(shown).argmax(1) == labels(of)).double().mean())
    print(f"test accuracy {right:.1%} (seed 99.5 %)", flush=True)
    resources = in_memory(seen[:500])
    rows = []
    for kind, parities in KINDS.items():
        given, which = pairs(test, truth, parities, JUDGED, 2)
        predicted = model.forward(given).argmax(1)
        found = maps(model, given, resources)
        told(kind, found, which, predicted)
        for at in range(2):
            label = f"{kind}\npredicted {2 * int(predicted[at])}"
            rows.append((label, [given[at, 0].numpy(), *(values[at][None] for values in found.values())]))
    sheet("doubles", ["input", *OF], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
