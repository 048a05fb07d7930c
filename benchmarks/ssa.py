"""Step-wise sensitivity analysis against a loop over units and plain backward passes: `python -m benchmarks.ssa`.

The loop walks back from one unit of one input at a time, between adjacent levels, as the seed's does; of each step it
is timed on some units and reckoned for all that the graph has. A plain pass is forward and the gradient at the input.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.side_by_side import alternate
from benchmarks.vision import squeezenet, torchvision
from tests.resources import InMemory, InMemoryDataset, no_input
from tests.toys import model_of
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method
from workers.methods.structure.ssa.walk import Steps

TIMED = 4  # units of a step
AIM = 1.5


def vgg16() -> nn.Module:
    """Of the seed's size, with the random weights that it is trained from."""
    torch.manual_seed(0)
    module: nn.Module = torchvision().models.vgg16().eval().requires_grad_(False)
    return module


def plain(module: nn.Module, x: Tensor, target: int) -> None:
    """Forward and backward of each input, two at a time."""
    for part in torch.split(x, 2):
        leaf = part.clone().requires_grad_()
        torch.autograd.grad(module(leaf)[:, target].sum(), leaf)


def loop(model: Model, x: Tensor, units: dict[int, int]) -> tuple[float, int]:
    """Seconds that a backward pass for each unit of each input would take, and how many these are."""
    steps = Steps(model, (), model.folded.nodes[model.folded.output])
    _, values = model.folded.run(x[:1], range(len(model.folded.nodes)))
    seconds, passes = 0.0, 0
    for part in steps.parts:
        wanted = units.get(part.top.index, 0)
        some = min(TIMED, wanted)
        if some:
            started = time.perf_counter()
            for unit in range(some):
                steps.one_by_one(part, values, [unit])
            seconds += (time.perf_counter() - started) / some * wanted * len(x)
            passes += wanted * len(x)
    return seconds, passes


def compare(name: str, module: nn.Module, images: int, target: int) -> None:
    x = torch.randn(images, 3, 224, 224)
    model = model_of(module, (3, 224, 224))
    resources = InMemory({"images": InMemoryDataset(x)})
    method = parse_method({"name": "ssa", "dataset": "images", "classes": [target]})
    graph = method.explain(model, no_input(model, resources)).info[0]
    taken = alternate({
        "ours": lambda: method.explain(model, no_input(model, resources)),
        "plain": lambda: plain(module, x, target),
    }, rounds=3, warmup=1)  # fmt: skip
    ours, passes = (sorted(taken[which])[1] for which in ("ours", "plain"))
    index = {node.layer: node.index for node in model.folded.nodes}
    units: dict[int, int] = {}
    for node in graph["nodes"]:
        units[index[node["layer"]]] = units.get(index[node["layer"]], 0) + 1
    naive, count = loop(model, x, units)
    print(f"   {name}, {images} images: {len(graph['nodes'])} nodes in {len(graph['layers'])} layers")
    print(f"      a pass for each unit   {naive:9.2f} s ({count} passes between adjacent layers)")
    print(f"      plain backward passes  {passes:9.2f} s ({images}, one for each image)")
    met = "met" if ours <= AIM * passes else "MISSED"
    print(f"      ours                   {ours:9.2f} s   {naive / ours:.0f} times faster than the loop; "
          f"{ours / passes:.2f} of the plain passes, aim {AIM:g}, {met}")  # fmt: skip


def main() -> int:
    torch.set_num_threads(1)
    announce("ssa, b = 3, one class: units that the graph has, each walked back from, and ours")
    compare("SqueezeNet 1.1", squeezenet(), 16, 340)
    compare("VGG-16", vgg16(), 4, 340)
    return 0


if __name__ == "__main__":
    sys.exit(main())
