"""Propagation in process: each rule's time in plain gradients, ours beside Zennit's and Captum's, the same networks."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.side_by_side import Call, alternate
from benchmarks.vision import squeezenet, torchvision
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.target import ClassTarget
from workers.methods.method import parse_method
from workers.models.export.program import export_module
from workers.models.folder import Folder
from workers.models.source import parse_source
from workers.runtime.settings import Settings

SHAPE = (3, 224, 224)
ROUNDS = 9
AIMS = {  # in plain gradients
    "epsilon": 1.2, "epsilon_plus_flat": 1.9, "epsilon_gamma_box": 2.2, "alpha2_beta1": 3.0, "guided_backprop": 1.05,
    "deep_lift": 2.3,
}  # fmt: skip


def main() -> None:
    torch.set_num_threads(Settings().torch_threads)
    announce(f"propagation at {SHAPE[1]} x {SHAPE[2]}, medians of {ROUNDS} rounds, in plain gradients")
    rows = [int(argument) for argument in sys.argv[1:]] or [1, 16]
    for name, make in {"SqueezeNet 1.1": squeezenet, "ResNet-18": resnet18}.items():
        model = ours(make())
        for n in rows:
            x = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(0))
            compare(f"{name}, batch {n}", make, model, x)


def resnet18() -> nn.Module:
    torch.manual_seed(0)
    module: nn.Module = torchvision().models.resnet18().eval().requires_grad_(False)
    return module


def ours(module: nn.Module) -> Model:
    """The module as Whence runs it; pixels lie in -1 to 1."""
    colours = ImageSpec(mode="RGB", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    spec = InputSpec(kind="image", shape=SHAPE, image=colours)
    folder = Folder(
        name="network", path=Path("network"), source=parse_source("model.pt2", "network"), weights=None,
        output="logits", input=spec, labels=(), default_method="gradient", accuracy=None, digest="sha256:" + "0" * 64,
    )  # fmt: skip
    return Model.from_program(folder, export_module(module, SHAPE, "network"))


def compare(title: str, make: Callable[[], nn.Module], model: Model, x: Tensor) -> None:
    """Print a line for each method: what it takes, in the time of a plain gradient of the same run."""
    classes = make()(x).argmax(1)
    calls: dict[str, Call] = {"gradient": gradient(make(), x, classes)}
    for name in AIMS:
        for side, call in (
            ("ours", whence(model, name, x, classes)),
            ("zennit", zennit(name, make(), x, classes)),
            ("captum", captum(name, make(), x, classes)),
        ):
            if call is not None and runs(call):
                calls[f"{name} {side}"] = call
    medians = {name: statistics.median(taken) for name, taken in alternate(calls, ROUNDS, warmup=1).items()}
    floor = medians["gradient"]
    print(f"\n   {title:24} {'ours':>6} {'zennit':>7} {'captum':>7} {'aim':>6}   (plain gradient {floor * 1e3:.0f} ms)")
    for name, aim in AIMS.items():
        shown = [medians.get(f"{name} {side}", float("nan")) / floor for side in ("ours", "zennit", "captum")]
        verdict = "met" if shown[0] <= aim else "MISSED"
        print(f"   {name:24} {shown[0]:6.2f} {shown[1]:7.2f} {shown[2]:7.2f} {aim:6.2f}   {verdict}")


def runs(call: Call) -> bool:
    """Whether a library can do it at all: Captum refuses reused ReLUs, for one."""
    try:
        call()
    except (RuntimeError, AssertionError, TypeError) as error:
        print(f"   left out: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
        return False
    return True


def gradient(module: nn.Module, x: Tensor, classes: Tensor) -> Call:
    def run() -> Tensor:
        leaf = x.detach().requires_grad_()
        scores = module(leaf)[torch.arange(len(x)), classes]
        return torch.autograd.grad(scores, leaf, scores.detach())[0]

    return run


def whence(model: Model, name: str, x: Tensor, classes: Tensor) -> Call:
    """What a worker does of a batch, its forward pass included."""
    method = parse_method(name if name in ("guided_backprop", "deep_lift") else {"name": "lrp", "composite": name})
    targets = [ClassTarget(index=int(one)) for one in classes]
    return lambda: method.explain(model, Batch(x, targets, [0] * len(x))).arrays["attribution"]


def zennit(name: str, module: nn.Module, x: Tensor, classes: Tensor) -> Call | None:
    """Its hooks are registered once, outside the time, and batch norm is folded once."""
    from zennit import composites as made
    from zennit.rules import AlphaBeta, Epsilon
    from zennit.torchvision import ResNetCanonizer
    from zennit.types import Linear

    canonizers = [ResNetCanonizer()]
    everywhere: dict[str, Any] = {"epsilon": Epsilon(), "alpha2_beta1": AlphaBeta(2, 1)}
    low, high = torch.full((1, *SHAPE), -1.0), torch.full((1, *SHAPE), 1.0)
    if name in everywhere:
        rules = [*made.layer_map_base(), (Linear, everywhere[name])]
        composite = made.LayerMapComposite(rules, canonizers=canonizers)
    elif name == "epsilon_plus_flat":
        composite = made.EpsilonPlusFlat(canonizers=canonizers)
    elif name == "epsilon_gamma_box":
        composite = made.EpsilonGammaBox(low, high, canonizers=canonizers)
    elif name == "guided_backprop":
        composite = made.GuidedBackprop(canonizers=canonizers)
    else:
        return None
    composite.register(module)
    return gradient(module, x, classes)


def captum(name: str, module: nn.Module, x: Tensor, classes: Tensor) -> Call | None:
    from captum import attr

    if name == "deep_lift":
        lift = attr.DeepLift(module)
        return lambda: lift.attribute(x, target=classes)
    if name == "guided_backprop":
        guided = attr.GuidedBackprop(module)
        return lambda: guided.attribute(x.detach().requires_grad_(), target=classes)
    if name == "epsilon":
        lrp = attr.LRP(module)
        return lambda: lrp.attribute(x.detach().requires_grad_(), target=classes)
    return None


if __name__ == "__main__":
    main()
