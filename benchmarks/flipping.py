"""Pixel flipping of six methods on 100 digits, against the same passes done plainly: `python -m benchmarks.flipping`.

The floor is the six methods' own work and, of what they take away, every distinct input once: prepared beforehand, and
run through the module by as many at once as are fastest. What is left is finding the orders and making the inputs.
"""

from __future__ import annotations

import sys
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.perturbation import best
from benchmarks.places import DIGITS, SHARED
from benchmarks.side_by_side import Aim, alternate, report
from models.digits.data import read_digits
from models.digits.net import build
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.perturbation.altered_scores import Copies, altered_scores
from workers.explanation.target import RankTarget
from workers.methods.evaluation.pixel_flipping import compute
from workers.methods.method import Method, parse_method
from workers.methods.nested.attributions import attributions
from workers.models.export.from_code import load_weights
from workers.models.folder import read_folder
from workers.models.loading import load_model
from workers.runtime.settings import Settings

JUDGED, PATCH, ROUNDS, AIM = 100, 4, 5, 1.2
OF = ("gradient", "input_times_gradient", "lrp", "deep_lift", "guided_backprop", "grad_cam")


def digits() -> Tensor:
    """The first test digits, or noise where MNIST is not at hand: no time depends on what they show."""
    path = SHARED / "data" / "mnist.npz"
    if not path.is_file():
        return torch.rand(JUDGED, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(read_digits(path).x_test[:JUDGED].astype(np.float32) / 255)[:, None]


def asked_for(model: Model, batch: Batch, method: Method) -> Tensor:
    """The inputs that an evaluation runs through the model, in order."""
    seen: list[Tensor] = []

    def noting(model: Model, batch: Batch, copies: Copies, probability: bool = False) -> Tensor:
        seen.append(copies.make(torch.arange(len(copies.rows))))
        return altered_scores(model, batch, copies, probability)

    with patch.object(compute, "altered_scores", noting):
        method.explain(model, batch)
    return torch.cat(seen)


def plain(module: nn.Module, x: Tensor, size: int) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(part).softmax(1) for part in torch.split(x, size)])


def main() -> int:
    torch.set_num_threads(Settings().torch_threads)
    folder = read_folder(DIGITS)
    model, module, x = load_model(folder), build().eval(), digits()
    assert folder.weights is not None
    load_weights(module, folder.weights, "digits")
    method = parse_method({"name": "pixel_flipping", "of": list(OF), "patch": PATCH})
    of = tuple(parse_method(name) for name in OF)

    def fresh() -> Batch:
        return Batch(x, [RankTarget(rank=0)] * len(x), [0] * len(x))

    altered = asked_for(model, fresh(), method)
    every = len(x) * len(OF) * (49 + 1)
    announce(f"pixel flipping of {len(OF)} methods on {len(x)} digits, {PATCH} x {PATCH} patches, 49 steps")
    size = best(lambda size: partial(plain, module, altered[:960], size))
    print(f"   {every} passes asked for, {len(altered)} of them distinct; plain ones are fastest by {size}")
    calls = {
        "the methods themselves and plain passes": lambda: (
            attributions(model, fresh(), of),
            plain(module, altered, size),
        ),
        "the methods themselves": lambda: attributions(model, fresh(), of),
        "Whence pixel_flipping": lambda: method.explain(model, fresh()),
    }
    floor = "the methods themselves and plain passes"
    report(
        "pixel flipping", alternate(calls, ROUNDS, warmup=1), floor, [Aim("Whence pixel_flipping", floor, ratio=AIM)]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
