"""What a GPU gives: the CPU's numbers, our methods' time beside their peers', and a service's; to benchmarks/gpu.md.

`python -m benchmarks.gpu` needs a GPU, the repository, and the wheels of the tests. `--device cpu --out FILE` tries the
script itself where there is none, each part with little of it.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu_service import served
from benchmarks.peers import gradient, ours, pictures, whence
from benchmarks.places import ROOT
from benchmarks.side_by_side import alternate
from benchmarks.vision import squeezenet
from workers.engine.arithmetic import products, settle
from workers.engine.device import out_of_memory
from workers.engine.model.model import Model
from workers.engine.model.recorded_pass import WORTH, Recorder
from workers.explanation.card import Precision
from workers.runtime.settings import Settings

NO_GPU = "no GPU: torch sees none here, so there is nothing to measure, and benchmarks/gpu.md stays as it is"
PARITY, AHEAD = 1e-4, 2.0

Call = Callable[[], Any]


@dataclass(frozen=True)
class Extent:
    """How much of each part is done."""

    rounds: int
    steps: int
    rows: tuple[int, ...]
    clients: int
    requests: int

    def methods(self) -> Mapping[str, Any]:
        """By name, as they are asked for on every side."""
        return {
            "gradient": "gradient",
            "integrated_gradients": {"name": "integrated_gradients", "steps": self.steps},
            "smooth_grad": {"name": "smooth_grad", "samples": self.steps},
            "lrp": "lrp",
        }


WHOLE, TRIAL = Extent(11, 50, (1, 8, 32, 64, 256), 32, 640), Extent(2, 2, (1, 2), 2, 4)


def main() -> None:
    device, out = _option("--device", "cuda"), Path(_option("--out", str(ROOT / "benchmarks" / "gpu.md")))
    if device.startswith("cuda") and not torch.cuda.is_available():
        print(NO_GPU)
        return
    began = time.perf_counter()
    settle(device)
    torch.set_num_threads(Settings().torch_threads)
    lines = []
    for line in written(device, WHOLE if device.startswith("cuda") else TRIAL):
        print(line, flush=True)
        lines.append(line)
    out.write_text("\n".join([*lines, f"\nTook {time.perf_counter() - began:.0f} s.", ""]))
    print(f"wrote {out}")


def written(device: str, extent: Extent) -> Iterator[str]:
    """The lines of the page: the device, parity, one input beside its peers, precisions, batches, and a service."""
    module, x = squeezenet(), pictures(max(extent.rows))
    classes = module(x[:1]).argmax(1)
    here, there = ours(module), ours(module, device)
    yield f"# On a GPU\n\n{machine(device)}; SqueezeNet 1.1 at 227 x 227, float32. By `make gpu`."
    yield "\nOn the same input, against the CPU (of the largest value):\n\n| | apart | aim |\n|---|---|---|"
    for name, method in {**extent.methods(), "occlusion": {"name": "occlusion", "patch": 48, "stride": 48}}.items():
        yield f"| {name} | {apart(here, there, method, x[:1], classes):.1e} | {PARITY:g} |"
    yield from precisions(there, x[:1].to(device), classes, extent)
    yield from recordings(there, x[:1].to(device), classes, extent)
    yield f"\nOne input; the median of {extent.rounds}, in turn, with quartiles:\n"
    yield f"| | Whence | Captum; of lrp Zennit | of Whence's time (aim {AHEAD:g}) |\n|---|---|---|---|"
    yield from beside_peers(there, module.to(device), x[:1].to(device), classes.to(device), extent)
    yield "\nGradients of a batch:\n\n| rows | pictures/s | most memory of torch |\n|---|---|---|"
    yield from (batched(there, x[:rows].to(device), device, extent) for rows in extent.rows)
    yield from served(squeezenet(), there, extent.methods(), extent.clients, extent.requests)


def precisions(model: Model, x: Tensor, classes: Tensor, extent: Extent) -> Iterator[str]:
    """Each method in less than float32: its time, and how far from float32 of the norm."""
    asked: list[Precision] = ["tf32", "bfloat16"] if x.device.type == "cuda" else ["bfloat16"]
    yield "\nIn less than float32, on the same input:\n\n| | precision | of float32's time | apart, of the norm |"
    yield "|---|---|---|---|"
    for precision in asked:
        for name, method in extent.methods().items():
            whole, short = (ended(whence(one, method, x, classes), x.device) for one in (model, model.at(precision)))
            within = under(short, precision)
            taken = alternate({"whole": whole, "short": within}, extent.rounds)
            one, other = (torch.as_tensor(_cpu(call())).double() for call in (whole, within))
            ratio = statistics.median(taken["short"]) / statistics.median(taken["whole"])
            yield f"| {name} | {precision} | {ratio:.2f} | {float((one - other).norm() / one.norm()):.1e} |"


def recordings(model: Model, x: Tensor, classes: Tensor, extent: Extent) -> Iterator[str]:
    """Each method whose passes are recorded: its time with recordings, and how far it is from without."""
    yield "\nWith passes recorded (`WHENCE_CUDA_GRAPHS=true`), on the same input; what is kept of them counts:\n"
    yield "| | of the time without | apart, of the largest | recordings |\n|---|---|---|---|"
    for name in ("gradient", "integrated_gradients", "smooth_grad"):
        call = ended(whence(model, extent.methods()[name], x, classes), x.device)
        sides = {side: recording(call, allowed=side == "recorded") for side in ("plain", "recorded")}
        taken = alternate(sides, extent.rounds, WORTH + 1)
        one, other = (torch.as_tensor(_cpu(run())).double() for run in sides.values())
        ratio = statistics.median(taken["recorded"]) / statistics.median(taken["plain"])
        off = float((one - other).abs().max() / one.abs().max())
        yield f"| {name} | {ratio:.2f} | {off:.1e} | {model.recorder.made} |"


def recording(call: Call, *, allowed: bool) -> Call:
    """The call with passes recorded, or without."""

    def within() -> Any:
        Recorder.allowed = allowed
        try:
            return call()
        finally:
            Recorder.allowed = False

    return within


def under(call: Call, precision: Precision) -> Call:
    """The call as a worker makes it."""

    def within() -> Any:
        with products(precision):
            return call()

    return within


def machine(device: str) -> str:
    """The device, its driver where it has one, and torch."""
    if not device.startswith("cuda"):
        return f"{platform.processor() or platform.machine()}, torch {torch.__version__} (a trial without a GPU)"
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return f"{torch.cuda.get_device_name(device)}, driver {driver or 'unknown'}, torch {torch.__version__}"


def apart(here: Model, there: Model, method: Any, x: Tensor, classes: Tensor) -> float:
    """How far the numbers of two devices are apart, of the largest."""
    one, other = (np.asarray(_cpu(whence(model, method, x.to(model.device), classes)())) for model in (here, there))
    return float(np.abs(one - other).max() / np.abs(one).max())


def beside_peers(model: Model, module: nn.Module, x: Tensor, classes: Tensor, extent: Extent) -> Iterator[str]:
    for name, peer in peers(module, x, classes, extent.steps).items():
        calls: Mapping[str, Call] = {
            "ours": ended(whence(model, extent.methods()[name], x, classes), x.device),
            "peer": ended(peer, x.device),
        }
        taken = alternate(calls, extent.rounds)
        told = [_spread(taken[side]) for side in calls]
        ratio = statistics.median(taken["peer"]) / statistics.median(taken["ours"])
        yield f"| {name} | {told[0]} | {told[1]} | {ratio:.2f} |"


def peers(module: nn.Module, x: Tensor, classes: Tensor, steps: int) -> Mapping[str, Call]:
    """Captum's way of each method, with as many passes; of `lrp` Zennit's, which has the same composite."""
    from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
    from zennit.composites import EpsilonPlusFlat

    hooked = squeezenet().to(x.device)
    EpsilonPlusFlat().register(hooked)
    integrated, saliency = IntegratedGradients(module), Saliency(module)
    noisy = NoiseTunnel(saliency)
    return {
        "gradient": lambda: saliency.attribute(x.detach().requires_grad_(), target=classes, abs=False),
        "integrated_gradients": lambda: integrated.attribute(x, target=classes, n_steps=steps),
        "smooth_grad": lambda: noisy.attribute(x, target=classes, nt_samples=steps, stdevs=0.1, abs=False),
        "lrp": gradient(hooked, x, classes, times_score=True),
    }


def batched(model: Model, x: Tensor, device: str, extent: Extent) -> str:
    """Pictures a second of a gradient of so many rows at once; where they do not fit, that."""
    gpu = device.startswith("cuda")
    if gpu:
        torch.cuda.reset_peak_memory_stats(device)
    run = ended(whence(model, "gradient", x, torch.zeros(len(x), dtype=torch.int64)), x.device)
    try:
        seconds = statistics.median(alternate({"ours": run}, extent.rounds)["ours"])
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return f"| {len(x)} | out of memory | |"
    most = f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f} MiB" if gpu else ""
    return f"| {len(x)} | {len(x) / seconds:.1f} | {most} |"


def ended(call: Call, device: torch.device) -> Call:
    """The call until the device has done it."""

    def whole() -> Any:
        found = call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return found

    return whole


def _cpu(found: Any) -> Any:
    return found.detach().cpu() if isinstance(found, Tensor) else found


def _spread(seconds: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return f"{middle * 1e3:.2f} ms ({low * 1e3:.2f}-{high * 1e3:.2f})"


def _option(name: str, otherwise: str) -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else otherwise


if __name__ == "__main__":
    main()
