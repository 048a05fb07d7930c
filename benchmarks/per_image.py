"""`python -m benchmarks per_image`: batched LRP of a net of VGG-16's size against a plain one, image by image.

The book's Fig. 22.4 has up to 29 times over the LRP Toolbox on a CPU, for 512 images. Weights are random: they cost the
same. And LIME of a GoogLeNet, which is a thousand passes, beside LRP of the same image.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.plain_lrp import Way, explained
from benchmarks.vision import torchvision
from tests.toys import exported
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.spec import ModelSpec
from workers.explanation.target import RankTarget
from workers.methods.method import parse_method

SIDE = 224
PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0: a pool
OURS, PLAIN = 8, {"by matrix": 2, "by place": 1}  # images
BOOK = 29


def vgg16(side: int = SIDE, plan: tuple[int, ...] = PLAN, hidden: int = 4096) -> nn.Sequential:
    """A chain of VGG-16's layers with random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels, size = 3, side
    for count in plan:
        if not count:
            layers.append(nn.MaxPool2d(2))
            size //= 2
            continue
        layers += [nn.Conv2d(channels, count, 3, padding=1), nn.ReLU()]
        channels = count
    sizes = (channels * size * size, hidden, hidden, 1000)
    layers.append(nn.Flatten())
    for width, following in pairwise(sizes):
        layers += [nn.Linear(width, following), nn.ReLU()]
    found = nn.Sequential(*layers[:-1]).eval().requires_grad_(False)
    for layer in found:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)  # else values fade out over sixteen layers
    return found


def model_of(module: nn.Module, side: int = SIDE) -> Model:
    """As a worker has it, which chooses how many rows it runs at once."""
    image = ImageSpec(mode="RGB", mean=(0.5,) * 3, std=(0.5,) * 3)
    spec = InputSpec(kind="image", shape=(3, side, side), image=image)
    known = ModelSpec("net", "sha256:0", "logits", spec, (), "lrp", None)
    return Model.from_program(known, exported(module, (3, side, side)))


def batch_of(x: Tensor) -> Batch:
    return Batch(x, [RankTarget(rank=0)] * len(x))


def seconds(work: Callable[[], object]) -> float:
    """Of the process, which others who are busy do not add to."""
    started = time.process_time()
    work()
    return time.process_time() - started


def lrp(quick: bool) -> None:
    """CPU seconds an image of ours, in batches, and of the plain ones; first that they agree."""
    module = vgg16(64, hidden=512) if quick else vgg16()
    side = 64 if quick else SIDE
    model, images = model_of(module, side), torch.rand(OURS, 3, side, side) * 2 - 1
    method = parse_method({"name": "lrp", "composite": "epsilon"})
    found = method.explain(model, batch_of(images[:1])).arrays["attribution"]  # warms up, too
    ours = seconds(lambda: method.explain(model, batch_of(images))) / OURS
    print(f"   {'batched, ' + str(OURS) + ' images':28} {ours:9.2f} s an image", flush=True)
    for way, count in PLAIN.items():
        spent, apart = plain(module, images[:count], found, "by matrix" if way == "by matrix" else "by place")
        print(
            f"   {'NumPy ' + way + ', ' + str(count):28} {spent:9.2f} s an image, {spent / ours:6.1f} times ours "
            f"(book: up to {BOOK}); the first map {apart:.1e} of its norm apart",
            flush=True,
        )


def plain(module: nn.Sequential, images: Tensor, ours: Tensor, way: Way) -> tuple[float, float]:
    """Seconds an image, and how far the first map is from ours, over its norm."""
    maps: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    spent = seconds(lambda: maps.extend(explained(list(module), image.numpy(), way) for image in images)) / len(images)
    first = torch.from_numpy(maps[0])
    return spent, float((first - ours[0]).norm() / first.norm())


def lime(quick: bool) -> None:
    """CPU seconds of LIME (1000 samples, quickshift) and of LRP, on a GoogLeNet and one image.

    It is smooth, as photographs are: pixels drawn one by one are a single segment to some cuts, and then all but two of
    the thousand copies are equal, and not asked.
    """
    torch.manual_seed(0)
    module = torchvision().models.googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    model = model_of(module.requires_grad_(False))
    image = nn.functional.interpolate(torch.rand(1, 3, 14, 14) * 2 - 1, size=(SIDE, SIDE), mode="bilinear")
    asked = {"name": "lime", "samples": 20 if quick else 1000, "segments": "quickshift"}
    for method in (parse_method({"name": "lrp"}), parse_method(asked)):
        batch = batch_of(image)
        print(f"   {method.name:28} {seconds(lambda m=method, b=batch: m.explain(model, b)):9.2f} s", flush=True)  # type: ignore[misc]  # both as they are now


def main() -> int:
    """Both, on one thread."""
    torch.set_num_threads(1)
    quick = "--quick" in sys.argv
    announce("LRP-epsilon of a VGG-16, batched and image by image (CPU seconds)")
    lrp(quick)
    announce("LIME of a GoogLeNet beside LRP (CPU seconds)")
    lime(quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
