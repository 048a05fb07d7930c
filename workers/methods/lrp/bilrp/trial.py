"""Whether a score is a product of what is made of two inputs: found by trying, whatever the operations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workers.engine.graph.linearity import SCALES
from workers.engine.model.model import Model
from workers.explanation.inputs import explained
from workers.methods.lrp.bilrp.branches import Branches

DRAWS = 3


class Trial:
    """Scores tried with what the model makes of one random input, and random numbers beside it."""

    def __init__(self, model: Model) -> None:
        spec, self.graph = model.card.input, model.folded
        source = torch.Generator().manual_seed(0)
        x = torch.ones(1, *spec.shape, dtype=torch.float64)
        for part in explained(spec):
            x[:, part.start : part.stop] = torch.randn(part.stop - part.start, generator=source)
        with torch.no_grad():
            self.values = self.graph.run(x.to(model.device, model.dtype), range(len(self.graph.nodes)))[1]

    @torch.no_grad()
    def is_product(self, found: Branches) -> bool:
        """Whether what of the score is neither side's alone is linear in each, and not nothing."""
        base = [found.numbers(side, self.values) for side in (0, 1)]
        if not all(one.is_floating_point() for one in base):
            return False
        source = torch.Generator().manual_seed(1)

        def drawn(side: int, scale: float) -> Tensor:
            return (torch.randn(base[side].shape, generator=source) * scale).to(base[side])

        try:
            return all(
                _is_bilinear(
                    lambda u, v: found.score(self.values, base[0] + u, base[1] + v),
                    (drawn(0, scale), drawn(0, scale)),
                    (drawn(1, scale), drawn(1, scale)),
                )
                for scale in SCALES * DRAWS
            )
        except Exception:  # an operation that nothing is known of may fail on what it is tried with in any way
            return False


def _is_bilinear(
    score: Callable[[Tensor, Tensor], Tensor], one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]
) -> bool:
    """Whether the part of the score that both sides make together adds up in each of them."""
    (u, w), (v, z) = one, other
    sizes: list[Tensor] = []

    def together(a: Tensor, b: Tensor) -> Tensor:
        terms = [score(a, b), score(a, 0 * b), score(0 * a, b), score(0 * a, 0 * b)]
        sizes.extend(term.abs().max() for term in terms)
        return terms[0] - terms[1] - terms[2] + terms[3]

    whole = together(u, v)
    gaps = [
        together(u - 3 * w, v) - whole + 3 * together(w, v),
        together(u, v - 3 * z) - whole + 3 * together(u, z),
    ]
    near = torch.finfo(u.dtype).eps ** 0.5 * float(torch.stack(sizes).max())
    return bool(whole.abs().max() > 0) and all(bool((gap.abs() <= near).all()) for gap in gaps)
