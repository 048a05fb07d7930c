"""Insens against a naive loop over units, on the seed's 2CONV, in one run: `python -m benchmarks.insens`."""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.two_conv import network
from tests.toys import model_of
from workers.engine.layers.rectified import rectified
from workers.methods.structure.insens.inactive_sensitivity import Layer, insens

AIM = 10.0


def naive(module: nn.Module, x: Tensor) -> Tensor:
    """The sum of v / (w . w) w over the inactive units, a backward pass each; all share one forward."""
    leaf, total = x.clone().requires_grad_(), torch.zeros_like(x)
    values = module(leaf)
    for unit in (values[0] <= 0).nonzero().tolist():
        v = values[(0, *unit)]
        (w,) = torch.autograd.grad(v, leaf, retain_graph=True)
        size = (w * w).sum()
        if size > 0:
            total += v.detach() / size * w
    return total


def main() -> int:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module, x = network().eval(), torch.rand(1, 1, 28, 28)
    model = model_of(module, (1, 28, 28))
    announce("Insens of 2CONV, every unit alike: a loop over its inactive units, and ours; ms")
    sums = [0.0, 0.0]
    for node in rectified(model.folded):
        layer, part = Layer(model, node), module[: int(node.layer) + 1]
        started = time.perf_counter()
        expected = naive(part, x)
        loop = time.perf_counter() - started
        ones, took = torch.ones(node.shape or ()), []
        for _ in range(5):
            started = time.perf_counter()
            found = insens(layer, x, ones, False, lambda _, __: None)
            took.append(time.perf_counter() - started)
        ours = sorted(took)[2]
        off = float((found.values - expected).abs().max() / expected.abs().max())
        times = f"loop {loop * 1e3:8.0f}  ours {ours * 1e3:6.0f}  {loop / ours:6.1f} times faster"
        print(f"   layer {node.layer}: {found.summed:6} units  {times}; they differ by {off:.1e}")
        sums = [sums[0] + loop, sums[1] + ours]
    ratio = sums[0] / sums[1]
    print(f"   whole net: {ratio:.1f} times faster; aim {AIM:g}, {'met' if ratio >= AIM else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
