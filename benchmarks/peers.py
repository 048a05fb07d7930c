"""In process, on SqueezeNet: our lrp against Zennit's, our integrated gradients against Captum's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.places import PHOTOGRAPHS
from benchmarks.side_by_side import Aim, Call, alternate, report
from benchmarks.vision import squeezenet
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.images.decoding import prepare
from workers.explanation.target import ClassTarget
from workers.methods.method import parse_method
from workers.models.export.program import export_module
from workers.models.folder import Folder
from workers.models.source import parse_source
from workers.runtime.settings import Settings

ROUNDS, STEPS = 11, 50
SPEC = InputSpec(
    kind="image",
    shape=(3, 227, 227),
    image=ImageSpec(mode="BGR", resize=(227, 227), scale=255.0, mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0)),
)
FLOOR = "plain gradient"
ZENNIT = "Zennit EpsilonPlusFlat"
DEFAULT = "Captum, as it comes"
OURS_LRP = "Whence lrp, epsilon_plus_flat"
OURS_IG = "Whence integrated_gradients, with its check"


def main() -> None:
    torch.set_num_threads(Settings().torch_threads)
    announce("in process, SqueezeNet 1.1 at 227 x 227: the same inputs, classes and numbers on all sides")
    module, x = squeezenet(), pictures(16)
    model, classes = ours(module), module(x).argmax(1)
    for rows in (1, 16):
        compare_lrp(model, module, x[:rows], classes[:rows])
    compare_integrated_gradients(model, module, x[:1], classes[:1])


def pictures(number: int) -> Tensor:
    """Photographs where they are there, else noise: the time is the same but for relevance that is zero."""
    if len(PHOTOGRAPHS) < number:
        return torch.randn(number, *SPEC.shape, generator=torch.Generator().manual_seed(0)) * 60
    assert SPEC.image is not None
    return torch.from_numpy(
        np.stack([prepare(p.read_bytes(), SPEC.image, SPEC.shape)[0] for p in PHOTOGRAPHS[:number]])
    )


def ours(module: nn.Module, device: str = "cpu") -> Model:
    """The module, which lies on the CPU, as Whence runs it: exported, its graph read."""
    folder = Folder(
        name="squeezenet", path=Path("squeezenet"), source=parse_source("model.pt2", "squeezenet"), weights=None,
        output="logits", input=SPEC, labels=(), default_method="gradient", accuracy=None, digest="sha256:" + "0" * 64,
    )  # fmt: skip
    return Model.from_program(folder, export_module(module, SPEC.shape, "squeezenet"), device)


def compare_lrp(model: Model, module: nn.Module, x: Tensor, classes: Tensor) -> None:
    """The composite's hooks are registered once, outside the time, which flatters Zennit."""
    from zennit.composites import EpsilonPlusFlat

    # A second module: hooks on the first would slow the plain gradient.
    hooked = squeezenet()
    EpsilonPlusFlat().register(hooked)
    calls = {
        FLOOR: gradient(module, x, classes),
        ZENNIT: gradient(hooked, x, classes, times_score=True),
        OURS_LRP: whence(model, "lrp", x, classes),
    }
    agree(calls[OURS_LRP], calls[ZENNIT])
    report(f"lrp, batch {len(x)}", alternate(calls, ROUNDS), FLOOR, [Aim(OURS_LRP, ZENNIT, ratio=0.7)])


def compare_integrated_gradients(model: Model, module: nn.Module, x: Tensor, classes: Tensor) -> None:
    """Captum as it comes runs all steps at once; the size of its inner batches that is best here is looked for."""
    from captum.attr import IntegratedGradients

    attribution = IntegratedGradients(module)

    def captum(size: int | None = None, delta: bool = False) -> Call:
        options = {"n_steps": STEPS, "internal_batch_size": size, "return_convergence_delta": delta}
        return lambda: attribution.attribute(x, target=classes, **options)

    best = min((4, 8, 16, 25), key=lambda size: seconds(captum(size)))
    tuned, floor = f"Captum, internal_batch_size={best}", f"{STEPS} plain gradients by {best}"
    steps = [gradient(module, part, classes.expand(len(part))) for part in torch.split(x.repeat(STEPS, 1, 1, 1), best)]
    checked = f"{tuned}, with its delta"
    calls: dict[str, Callable[[], Any]] = {
        floor: lambda: [step() for step in steps],
        DEFAULT: captum(),
        tuned: captum(best),
        checked: captum(best, delta=True),
        OURS_IG: whence(model, "integrated_gradients", x, classes),
    }
    agree(calls[OURS_IG], calls[DEFAULT])
    aims = [Aim(OURS_IG, theirs, ratio=1.0) for theirs in (DEFAULT, tuned, checked)]
    report(f"integrated gradients, {STEPS} steps, batch {len(x)}", alternate(calls, 9, warmup=1), floor, aims)


def whence(model: Model, method: Any, x: Tensor, classes: Tensor) -> Callable[[], Any]:
    """What a worker does of a batch; each call is a batch of its own, so that no pass is shared."""
    wanted = parse_method(method)
    targets = [ClassTarget(index=int(one)) for one in classes]
    return lambda: wanted.explain(model, Batch(x, targets, [0] * len(x), once=True)).arrays["attribution"]


def gradient(module: nn.Module, x: Tensor, classes: Tensor, times_score: bool = False) -> Callable[[], Any]:
    """The gradient of the classes' scores by autograd alone; `times_score`: from the scores on, as relevance goes."""
    rows = torch.arange(len(x))

    def run() -> Tensor:
        leaf = x.detach().requires_grad_()
        scores = module(leaf)[rows, classes]
        return torch.autograd.grad(scores, leaf, scores.detach() if times_score else torch.ones_like(scores))[0]

    return run


def agree(mine: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    """A race between different numbers would mean nothing."""
    one, other = mine(), theirs()
    gap = float((one - other).abs().max() / other.abs().max())
    assert gap < 1e-3, f"the results differ by {gap:.1e} of the largest value"


def seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
