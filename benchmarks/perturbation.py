"""In process, on SqueezeNet: methods of many passes against Captum's, as it comes and tuned; --quick: fewer passes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import announce
from benchmarks.peers import SPEC, gradient, ours, pictures, seconds
from benchmarks.side_by_side import Aim, Call, alternate, report
from benchmarks.vision import squeezenet
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.perturbation.segments import segments
from workers.explanation.target import ClassTarget, Target
from workers.methods.method import parse_method
from workers.runtime.settings import Settings

SIZES = (2, 4, 8, 16, 32)
PATCH = 16
SEGMENTS = 50
ROUNDS = 3
CLOSE = 1.05  # of the floor
Captum = Callable[[int], Call]  # from rows per pass


def main() -> None:
    torch.set_num_threads(Settings().torch_threads)
    announce(f"in process, SqueezeNet 1.1 at {SPEC.shape[1]} x {SPEC.shape[2]}, one input: passes at what size?")
    share = 10 if "--quick" in sys.argv else 1
    module, x = squeezenet(), pictures(1)
    model, target = ours(module), int(module(x).argmax())
    race = Race(model, module, x, target)
    windows, samples, masks, steps = (-(-SPEC.shape[1] // PATCH)) ** 2, 1000 // share, 4000 // share, 50
    race.run({"name": "occlusion", "patch": PATCH}, windows, False, race.occlusion())
    for name in ("lime", "kernel_shap"):
        wanted: dict[str, Any] = {"name": name, "samples": max(samples, 4 * SEGMENTS), "count": SEGMENTS}
        race.run(wanted, wanted["samples"], False, race.surrogate(wanted))
    race.run({"name": "rise", "masks": masks}, masks, False)
    race.run({"name": "integrated_gradients", "steps": steps}, steps, True, race.integrated(steps))
    race.run({"name": "smooth_grad", "samples": steps}, steps, True, race.smoothed(steps))


@dataclass
class Race:
    """One input and class, for all methods."""

    model: Model
    module: nn.Module
    x: Tensor
    target: int

    def __post_init__(self) -> None:
        self.sizes = {
            (slope, own): best(partial(self.passes, 64, slope, own)) for slope, own in product((False, True), repeat=2)
        }
        for (slope, own), size in self.sizes.items():
            kind, of = "gradients" if slope else "passes", "Whence's graph" if own else "the module"
            print(f"   plain {kind} of {of} are fastest by {size}")
        print(f"   measured by Whence: by {self.model.chunk}")

    def run(self, wanted: dict[str, Any], passes: int, slope: bool, captum: Captum | None = None) -> None:
        """Ours untuned beside the floors and, where it has the method, Captum by its default and by its best size."""
        method = parse_method(wanted)
        mine, floor, own = f"Whence {method.name}", "plain passes, best size", "the same of Whence's graph"
        calls = {
            floor: self.passes(passes, slope, False, self.sizes[slope, False]),
            own: self.passes(passes, slope, True, self.sizes[slope, True]),
        }
        if captum is not None:
            size = best(captum)
            calls |= {"Captum, as it comes": captum(0), f"Captum, by {size}": captum(size)}
        calls[mine] = lambda: method.explain(self.model, Batch(self.x, self.wanted(1), [0])).arrays["attribution"]
        aims = [Aim(mine, of, ratio=CLOSE) for of in (floor, own)]
        title = ", ".join(f"{value}" for value in wanted.values())
        report(title, alternate(calls, ROUNDS, warmup=1), floor, aims)

    def wanted(self, rows: int) -> list[Target]:
        return [ClassTarget(index=self.target)] * rows

    def passes(self, number: int, slope: bool, own: bool, size: int) -> Call:
        """So many rows through the module, or through our graph of it, and nothing else; `slope`: and back."""
        parts = torch.split(self.x.repeat(number, 1, 1, 1), size)

        def forward(part: Tensor) -> object:
            with torch.no_grad():
                return self.model.graph.run(part) if own else self.module(part)

        def back(part: Tensor) -> object:
            if own:
                return self.model.gradient(part, self.wanted(len(part)))
            return gradient(self.module, part, torch.full((len(part),), self.target))()

        return lambda: [back(part) if slope else forward(part) for part in parts]

    def occlusion(self) -> Captum:
        from captum.attr import Occlusion

        window, attribution = (SPEC.shape[0], PATCH, PATCH), Occlusion(self.module)
        return lambda size: (
            lambda: attribution.attribute(
                self.x, window, strides=window, target=self.target, perturbations_per_eval=size or 1
            )
        )

    def surrogate(self, wanted: dict[str, Any]) -> Captum:
        """On the very segments that ours cuts, which flatters it: cutting them is in our time alone."""
        from captum.attr import KernelShap, Lime

        cut = segments(self.model, Batch(self.x, self.wanted(1), [0]), None, SEGMENTS)
        attribution: Any = {"lime": Lime, "kernel_shap": KernelShap}[wanted["name"]](self.module)
        return lambda size: lambda: attribution.attribute(
            self.x, target=self.target, feature_mask=cut.labels[:, None], n_samples=wanted["samples"],
            perturbations_per_eval=size or 1,
        )  # fmt: skip

    def integrated(self, steps: int) -> Captum:
        from captum.attr import IntegratedGradients

        attribution = IntegratedGradients(self.module)
        return lambda size: (
            lambda: attribution.attribute(self.x, target=self.target, n_steps=steps, internal_batch_size=size or None)
        )

    def smoothed(self, samples: int) -> Captum:
        from captum.attr import NoiseTunnel, Saliency

        attribution = NoiseTunnel(Saliency(self.module))
        return lambda size: (
            lambda: attribution.attribute(
                self.x,
                target=self.target,
                nt_samples=samples,
                nt_samples_batch_size=size or None,
                stdevs=20.0,
                abs=False,
            )
        )


def best(call: Captum) -> int:
    """The size at which the call takes the least time."""
    return min(SIZES, key=lambda size: seconds(call(size)))


if __name__ == "__main__":
    main()
