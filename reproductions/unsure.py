"""Nets that know when they do not know, and DeepLIFT of nets that are unsure (seed 003, Fig. 20-24)

Use: python -m reproductions.unsure DIGITS, an .npz of MNIST: x_train, y_train, x_test, y_test. Trains a small net by
evidence and the same by cross-entropy (some minutes on one core), turns a 1 around, adds noise, calibrates; prints what
it finds and draws pictures/evidence.png and pictures/deep_lift_unsure.png.
"""

from __future__ import annotations

import sys
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import rotate
from torch import Tensor, nn

from reproductions import mnist
from reproductions.mc_dropout import LRP, net, red, served, trained
from reproductions.sheets import sheet
from tests.resources import InMemory, in_memory, no_input
from tests.toys import batch_of, model_of
from workers.engine.model.model import Model
from workers.explanation.errors import ExplainError
from workers.methods.catalogue import parse_method

ANGLES = tuple(range(0, 181, 20))
STEPS, SAMPLES, NOISY = 1500, 200, 200


class Evidential(nn.Module):
    """The small net, whose outputs are evidence: never negative."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()
        # A rectifier that starts below zero for all digits stays there.
        nn.init.ones_(cast("Tensor", self.body[-1].bias))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x))


def loss(evidence: Tensor, y: Tensor, weight: float) -> Tensor:
    """S3 eq. 28: the expected squared error of a Dirichlet, and what keeps evidence for what is not the class low."""
    alpha, one = evidence + 1, nn.functional.one_hot(y, 10).double().to(evidence)
    total = alpha.sum(1, keepdim=True)
    p = alpha / total
    error = ((one - p).square() + p * (1 - p) / (total + 1)).sum(1)
    rest = one + (1 - one) * alpha
    flat = torch.distributions.Dirichlet(torch.ones_like(rest))
    apart = torch.distributions.kl_divergence(torch.distributions.Dirichlet(rest), flat)
    return (error + weight * apart).mean()


def evidential(x: Tensor, y: Tensor) -> nn.Module:
    """By Adam, batches of 64; the weight of the divergence rises over the first half."""
    torch.manual_seed(0)
    module = Evidential()
    descent = torch.optim.Adam(module.parameters(), 1e-3)
    for step in range(STEPS):
        at = torch.randint(len(x), (64,))
        total = loss(module(x[at]), y[at], 0.1 * min(1.0, 2 * step / STEPS))
        descent.zero_grad()
        torch.autograd.backward(total)
        descent.step()
    return module.eval()


def turned(digit: NDArray[Any]) -> Tensor:
    """The digit turned by each of the angles, (angles, 1, 28, 28)."""
    around = [rotate(digit, -angle, reshape=False, order=1) for angle in ANGLES]
    return torch.from_numpy(np.stack(around)[:, None]).float().clamp(0, 1)


def mapped(model: Model, x: Tensor, method: Any) -> NDArray[np.float64]:
    """The map (1, 28, 28) of the predicted class; zeros where the method is refused."""
    try:
        found = parse_method(method).explain(model, batch_of(x[None])).arrays["attribution"][0]
    except ExplainError:
        return np.zeros((1, 28, 28))
    return np.asarray(found.detach().numpy(), np.float64)


def evidence(basic: Model, sure: Model, x: Tensor) -> None:
    """Fig. 20, 21: uncertainty by angle, and whether the maps tell of it."""
    rows = parse_method("evidence").explain(sure, batch_of(x)).rows()
    mass = [row.info["uncertainty"] for row in rows]
    said = sure.forward(x).argmax(1).tolist()
    print("Fig. 20: angle, predicted class, uncertainty mass")
    print("  " + "  ".join(f"{angle}: {c} {u:.2f}" for angle, c, u in zip(ANGLES, said, mass, strict=True)))
    kinds = {"LRP, basic": (basic, LRP), "LRP, evidence": (sure, below("body.")), "DTD, basic": (basic, "deep_taylor")}
    kinds["DTD, evidence"] = sure, "deep_taylor"
    cells = {name: [mapped(model, one, method) for one in x] for name, (model, method) in kinds.items()}
    print("Fig. 21: share of positive relevance; its correlation with the uncertainty mass")
    for name, maps in cells.items():
        share = red(np.stack(maps))
        full = np.array([np.abs(one).sum() > 0 for one in maps])
        told = np.corrcoef(share[full], np.array(mass)[full])[0, 1] if share[full].std() else float("nan")
        print(f"  {name:14} " + " ".join(f"{s:.2f}" for s in share) + f"   {told:+.2f}; empty {int((~full).sum())}")
    table = [("input", [one[0].numpy() for one in x]), *cells.items()]
    sheet("evidence", [f"{a}°, {c}: {u:.2f}" for a, c, u in zip(ANGLES, said, mass, strict=True)], table)


def below(prefix: str) -> dict[str, Any]:
    """The seed's composite for the same net within a module."""
    table = [
        {**entry, "layers": f"{prefix}{entry['layers']}"} if "layers" in entry else entry for entry in LRP["composite"]
    ]
    return {**LRP, "composite": table}


def deep_lift(model: Model, digits: Tensor, truth: Tensor, resources: InMemory) -> None:
    """Fig. 22-24: single and many passes with dropout, noise by predicted class, and calibration."""
    plain = mapped(model, digits[0], "deep_lift")
    passes: dict[str, NDArray[np.float64]] = {}
    for samples in (1, SAMPLES):
        method = {"name": "mc_dropout", "of": "deep_lift", "samples": samples, "approach": "all"}
        passes[f"{samples}"] = mapped(model, digits[0], method)
    print("Fig. 22: correlation with DeepLIFT without dropout: one pass, many")
    print("  " + "  ".join(f"{name}: {same(plain, one):.2f}" for name, one in passes.items()))
    noisy = {"name": "noisy_inputs", "of": "deep_lift", "samples": NOISY, "noise": 0.6}
    row = parse_method(noisy).explain(model, batch_of(digits[1][None], seeds=[0])).rows()[0]
    met = [(int(c), n) for c, n in zip(row.info["classes"], row.info["counts"], strict=True) if n]
    print(f"Fig. 23: a {int(truth[1])} with noise is taken for " + ", ".join(f"{c} ({n})" for c, n in met))
    by_class = list(row.arrays["by_class"][: len(met)])
    print("  correlation of each class's map with that of the first: ", end="")
    print(", ".join(f"{c} {same(by_class[0], one):.2f}" for (c, _), one in zip(met[1:], by_class[1:], strict=True)))
    fitted = parse_method("temperature").explain(model, no_input(model, resources)).rows()[0]
    temperature = float(fitted.arrays["scores"])
    scaled = mapped(model, digits[0], {"name": "at_temperature", "of": "deep_lift", "temperature": float(temperature)})
    gap = float(np.abs(scaled * temperature - plain).max() / np.abs(plain).max())
    print(f"Fig. 24: temperature {temperature:.2f}; DeepLIFT at it, times it, differs by {gap:.1e} of the largest")
    cells = [digits[0, 0].numpy(), plain, *passes.values(), scaled]
    names = ["input", "DeepLIFT", "dropout, one pass", f"dropout, {SAMPLES}", f"at T = {temperature:.2f}"]
    noise = [digits[1, 0].numpy(), *by_class[:4]]
    notes = [names, ["input", *(f"taken for {c}: {n}" for c, n in met[:4])]]
    sheet(
        "deep_lift_unsure",
        [""] * 5,
        [(f"a {int(t)}", row) for t, row in zip(truth, (cells, noise), strict=True)],
        notes,
    )


def same(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def main() -> int:
    x, y, test, truth = mnist.read(sys.argv[1])
    basic = served(trained(x, y))
    module = evidential(x, y)
    sure = model_of(module, (1, 28, 28), low=0.0, high=1.0, output="evidence")
    right = [float((model.forward(test[:2000]).argmax(1) == truth[:2000]).double().mean()) for model in (basic, sure)]
    print(f"test accuracy: cross-entropy {right[0]:.1%}, evidence {right[1]:.1%}", flush=True)
    one = int((truth == 1).nonzero()[0, 0])
    evidence(basic, sure, turned(test[one, 0].numpy()))
    resources = in_memory(test[2000:3000], truth[2000:3000].numpy())
    deep_lift(basic, test[[7, 8]], truth[[7, 8]], resources)
    return 0


if __name__ == "__main__":
    sys.exit(main())
