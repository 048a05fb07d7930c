"""Units of a 2CONV seen through switched projections, its inactive units under noise and in an attack (seed 000)

Use: python -m reproductions.projections DIGITS [EPOCHS], an .npz of MNIST: x_train, y_train, x_test, y_test. Trains a
2CONV on 6000 digits (about a minute on one core), prints what it finds of Fig. 2, of Insens under noise (l.277, l.361)
and of Fig. 12 and 13, and draws pictures/switched.png, pictures/noise.png and pictures/adversarial.png.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks.two_conv import train
from reproductions import mnist
from reproductions.sheets import sheet
from tests.resources import InMemory, in_memory
from tests.toys import batch_of, model_of
from workers.engine.model.model import Model
from workers.explanation.target import UnitTarget
from workers.methods.catalogue import parse_method

SEEN, JUDGED, STEP = 6000, 30, 0.02
SIGMAS = (0.3, 1.0, 2.0)
OF: dict[str, Any] = {
    "Insens": "insens", "gradient": "gradient", "IG": {"name": "integrated_gradients", "steps": 20},
    "LRP": {"name": "lrp", "composite": "epsilon"}, "deep Taylor": "deep_taylor",
}  # fmt: skip
CHANNELS, NEURONS = (0, 7, 21, 40, 55), (3, 60, 144, 290, 431)
UNITS = [UnitTarget(layer="3", index=(channel, 7, 7)) for channel in CHANNELS]
DENSE = [UnitTarget(layer="7", index=(unit,)) for unit in NEURONS]


def switched(model: Model, digits: Tensor) -> None:
    """Fig. 2: the switched weights of the same ten units for two digits, v = w . x + b, exactly."""
    rows, notes, gap = [], [], 0.0
    for at, digit in enumerate(digits):
        cells, said = [], []
        for unit in (*UNITS, *DENSE):
            found = parse_method("switched_projection").explain(model, batch_of(digit[None], unit))
            check = found.checks[0][0]
            gap = max(gap, abs(check.observed - check.expected) / max(1.0, abs(check.expected)))
            cells.append(found.arrays["attribution"][0].detach().numpy())
            said.append(f"v {check.expected:.2g}")
        rows.append((f"digit {at + 1}", [digit[0].numpy(), *cells]))
        notes.append(["", *said])
    print(f"Fig. 2: w . x + b and v differ by {gap:.1e} at most")
    layer = model.layer("3").index
    values = model.folded.run(digits, {layer})[1][layer]
    on = (values[:, :, 0, 0] > 0).double().mean()
    print(f"  units of the second convolution at the corner, which see black alone: {float(on):.0%} are active")
    alike = [
        spearmanr(rows[0][1][1 + at].ravel(), rows[1][1][1 + at].ravel()).statistic
        for at in range(len(UNITS) + len(DENSE))
    ]
    conv, dense = np.nanmean(alike[: len(UNITS)]), np.nanmean(alike[len(UNITS) :])
    print(f"  a unit's weights for the two digits, Spearman: convolution {conv:.2f}, dense {dense:.2f}")
    columns = ["input", *(f"conv {one}" for one in CHANNELS), *(f"dense {one}" for one in NEURONS)]
    sheet("switched", columns, rows, notes)


def explained(model: Model, digit: Tensor, target: int, resources: InMemory) -> list[NDArray[np.float64]]:
    """Each method's map (1, 28, 28) for the class; deep Taylor's is empty where its score is negative."""
    found = []
    for method in OF.values():
        batch = batch_of(digit[None], target, resources=resources)
        if method == "deep_taylor" and float(model.outputs(batch)[0, target]) <= 0:
            found.append(np.zeros((1, 28, 28)))
            continue
        values = parse_method(method).explain(model, batch).arrays["attribution"][0]
        found.append(np.asarray(values.detach().numpy(), np.float64))
    return found


def under_noise(model: Model, digits: Tensor, truth: Tensor, test: Tensor, labels: Tensor, resources: InMemory) -> None:
    """Gaussian backgrounds: how near each map stays to the clean digit itself, and to its own clean map."""
    rows = []
    before = [explained(model, digit, int(of), resources) for digit, of in zip(digits, truth, strict=True)]
    print("Insens under noise: correlation of |map| with the clean digit / of the map with that of the clean digit")
    for sigma in (0.0, *SIGMAS):
        source = torch.Generator().manual_seed(1)
        shown = clamped(digits, sigma, source)
        right = float((model.forward(clamped(test, sigma, source)).argmax(1) == labels).double().mean())
        with_digit, with_clean = np.zeros((len(digits), len(OF))), np.zeros((len(digits), len(OF)))
        for at, clean in enumerate(before):
            own = explained(model, shown[at], int(truth[at]), resources) if sigma else clean
            flat = digits[at].numpy().ravel()
            with_digit[at] = [correlation(np.abs(one).ravel(), flat) for one in own]
            with_clean[at] = [correlation(a.ravel(), b.ravel()) for a, b in zip(own, clean, strict=True)]
            if at == 0:
                rows.append((f"sigma {sigma:g}", [shown[at, 0].numpy(), *own]))
        told = "  ".join(
            f"{name} {a:.2f} / {b:.2f}"
            for name, a, b in zip(OF, np.nanmean(with_digit, 0), np.nanmean(with_clean, 0), strict=True)
        )
        print(f"  sigma {sigma:g}, accuracy {right:.0%}: {told}", flush=True)
    sheet("noise", ["input", *OF], rows)


def clamped(x: Tensor, sigma: float, source: torch.Generator) -> Tensor:
    """The digits on a background of Gaussian noise, within 0 to 1."""
    noise = (sigma * torch.randn(x.shape, generator=source)).clamp(0, 1)
    return torch.where(x > 0, x, noise)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's; NaN of a map that is empty."""
    return float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else float("nan")


def attacked(model: Model, digit: Tensor, wrong: int) -> Tensor:
    """The digit moved along the gradient's sign towards a wrong class until that is predicted."""
    x = digit[None].clone()
    for _ in range(60):
        if int(model.forward(x).argmax()) == wrong:
            break
        x.requires_grad_(True)
        with torch.enable_grad():
            scores = model.graph.run(x)[0]
            loss = nn.functional.cross_entropy(scores, torch.tensor([wrong]))
        x = (x.detach() - STEP * torch.autograd.grad(loss, x)[0].sign()).clamp(0, 1)
    return x[0].detach()


def adversarial(model: Model, digits: Tensor, truth: Tensor, resources: InMemory) -> None:
    """Fig. 12, 13: maps of predicted classes before and after an attack, and their differences."""
    alike: list[list[float]] = []
    rows: list[tuple[str, list[NDArray[Any]]]] = []
    moved, deceived = [], 0
    for at in range(len(digits)):
        wrong = (int(truth[at]) + 1 + at % 9) % 10
        other = attacked(model, digits[at], wrong)
        predicted = int(model.forward(other[None]).argmax())
        deceived += predicted == wrong
        moved.append(float((other - digits[at]).abs().max()))
        clean = explained(model, digits[at], int(truth[at]), resources)
        maps = explained(model, other, predicted, resources)
        alike.append([correlation(a.ravel(), b.ravel()) for a, b in zip(clean, maps, strict=True)])
        if at < 3:
            if at == 0:
                rows.append((f"clean\npredicted {int(truth[at])}", [digits[at, 0].numpy(), *clean]))
            rows.append((f"attacked\npredicted {predicted}", [other[0].numpy(), *maps]))
            halves = [half(a) - half(b) for a, b in zip(maps, clean, strict=True)]
            rows.append(("difference", [(other - digits[at])[0].numpy() / 2 + 0.5, *halves]))
    told = "  ".join(f"{name} {value:.2f}" for name, value in zip(OF, np.nanmean(alike, 0), strict=True))
    print(f"Fig. 12, 13: {deceived} of {len(digits)} deceived, moved by {np.mean(moved):.2f} at most on average")
    print(f"  correlation of the maps of the predicted class before and after: {told}")
    sheet("adversarial", ["input", *OF], rows)


def half(values: NDArray[Any]) -> NDArray[Any]:
    """A map in units of its largest magnitude."""
    return values / max(float(np.abs(values).max()), 1e-12)


def main() -> int:
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    x, y, test, truth = mnist.read(sys.argv[1])
    model = model_of(train(x[:SEEN], y[:SEEN], epochs), (1, 28, 28), low=0.0, high=1.0)
    right = model.forward(test[:1000]).argmax(1) == truth[:1000]
    print(f"test accuracy {float(right.double().mean()):.1%} (seed 99.4 %)", flush=True)
    chosen = right.nonzero()[:JUDGED, 0]
    resources = in_memory(x[:500])
    switched(model, test[chosen[:2]])
    under_noise(model, test[chosen], truth[chosen], test[:1000], truth[:1000], resources)
    adversarial(model, test[chosen], truth[chosen], resources)
    return 0


if __name__ == "__main__":
    sys.exit(main())
