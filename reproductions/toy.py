"""What a linear model's weights are, and what its signal is (seed 002, section 2, Fig. 2).

Use: python -m reproductions.toy. x = (1, 0) y + (1, 1) e with w = (1, -1): prints the fitted pattern, the attribution's
share of the two inputs, and rho of the pattern and of the weights, beside the seed's closed forms. Takes a second.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from tests.workers.methods.pattern.pattern_toys import Kept, fitted
from workers.explanation.target import ValueTarget
from workers.methods.catalogue import parse_method

COUNT = 200_000
EXPECTED = {"pattern": (1.0, 0.0), "rho of the pattern": (1.0,), "rho of the weights": (1 - 1 / 13**0.5,)}


def drawn(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs (count, 2) and the signal in each."""
    source = torch.Generator().manual_seed(seed)
    y = torch.rand(count, generator=source, dtype=torch.float64) * 2 - 1
    e = torch.randn(count, generator=source, dtype=torch.float64)
    return torch.stack([y + e, e], 1), y


def rho(x: Tensor, estimate: Tensor, y: Tensor) -> float:
    """One less the best correlation of what is left of x with y, over all directions (S2 eq. 1)."""
    left = torch.cat([x - estimate, y[:, None]], 1).T.cov()
    inside, with_y, of_y = left[:2, :2], left[:2, 2], left[2, 2]
    explained = with_y @ torch.linalg.pinv(inside, rtol=1e-9, hermitian=True) @ with_y
    return 1 - float((explained.clamp(min=0) / of_y).sqrt())


def found() -> dict[str, tuple[float, ...]]:
    """The figures by name."""
    module = nn.Linear(2, 1, bias=False)
    module.weight.data = torch.tensor([[1.0, -1.0]])
    model = model_of(module, (2,), dtype=torch.float64, output="value")
    x, y = drawn(COUNT, 0)
    patterns = fitted(model, x, estimator="linear")
    pattern = next(one for one in patterns.values() if one.numel() == 2).flatten().double()
    weights = module.weight[0].detach().double()
    held = {"name": "pattern_attribution", "patterns": {"name": "pattern_fit", "estimator": "linear"}}
    resources = Kept({name: values.numpy() for name, values in patterns.items()})
    said = parse_method(held).explain(model, batch_of(x[:100], ValueTarget(), resources=resources))
    share = said.arrays["attribution"].abs().mean(0)
    return {
        "pattern": tuple(pattern.tolist()),
        "rho of the pattern": (rho(x, y[:, None] * pattern, y),),
        "rho of the weights": (rho(x, y[:, None] * weights / (weights @ weights), y),),
        "attribution of the distractor's input, of the other": (float(share[1] / share[0]),),
    }


def main() -> int:
    """Exit code 1 where a figure is further from the seed's than chance."""
    values = found()
    for name, value in values.items():
        told = ", ".join(f"{one:.3f}" for one in EXPECTED.get(name, (0.0,)))
        print(f"{name:52} {', '.join(f'{one:.3f}' for one in value):16} (seed: {told})")
    return int(
        any(abs(a - b) > 0.02 for name, wanted in EXPECTED.items() for a, b in zip(values[name], wanted, strict=True))
    )


if __name__ == "__main__":
    sys.exit(main())
