"""`python -m benchmarks.lstm_table [MODELS]`: Table 11.2 of the book, on LSTMs of one cell that add or subtract.

In each sequence two numbers are marked: the model is trained to return their sum, or the first less the second. So what
is relevant is known: those two steps, each by its number (S4 l.4080ff).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of
from workers.engine.model.model import Model
from workers.explanation.target import ValueTarget
from workers.methods.catalogue import parse_method

Task: TypeAlias = Literal["addition", "subtraction"]
GOALS: dict[Task, float] = {"addition": 1e-4, "subtraction": 1e-5}  # validation MSE at which training stops
BATCH, RATE, DECAY, EPOCHS = 200, 0.02, 0.99, 400
BOOK: dict[Task, dict[str, tuple[float, ...]]] = {
    "addition": {
        "gradient x input": (99.960, 99.954, 99.68), "occlusion": (99.990, 99.990, 99.82),
        "LRP-prop": (0.785, 10.111, 18.14), "LRP-abs": (7.002, 12.410, 18.01),
        "LRP-half": (29.035, 51.460, 54.09), "LRP-all": (99.995, 99.995, 99.95),
        "CD": (99.997, 99.997, 99.92),
    },
    "subtraction": {
        "gradient x input": (97.9, -98.8, 98.3), "occlusion": (99.0, -69.0, 25.4), "LRP-prop": (3.1, -8.4, 15.0),
        "LRP-abs": (1.2, -23.0, 15.1), "LRP-half": (7.7, -28.9, 42.3), "LRP-all": (98.5, -99.3, 99.3),
        "CD": (-25.9, -50.0, 49.4),
    },
}  # fmt: skip


class Sums(NamedTuple):
    """Sequences x (n, steps, 2) of one length, the two marked numbers (n, 2), their steps, and the answer."""

    x: Tensor
    numbers: Tensor
    steps: Tensor
    y: Tensor


def sums(task: Task, count: int, lengths: Sequence[int], seed: int) -> list[Sums]:
    """As many sequences of each length; numbers of a size between a half and one, of either sign in additions."""
    generator = torch.Generator().manual_seed(seed)
    return [_of_length(task, count // len(lengths), length, generator) for length in lengths]


def _of_length(task: Task, count: int, length: int, generator: torch.Generator) -> Sums:
    numbers = torch.rand(count, length, generator=generator) / 2 + 0.5
    if task == "addition":
        numbers = numbers * (torch.randint(0, 2, numbers.shape, generator=generator) * 2 - 1)
    steps = torch.rand(count, length, generator=generator).argsort(1)[:, :2].sort(1).values
    marks = torch.zeros(count, length).scatter_(1, steps, 1)
    a, b = numbers.gather(1, steps).unbind(1)
    x = torch.stack([numbers * (1 - marks), numbers * marks], 2)
    return Sums(x, torch.stack([a, b], 1), steps, a + b if task == "addition" else a - b)


class OneCell(nn.Module):
    """An LSTM of one memory cell and a weight on its last output: 17 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 1, batch_first=True)
        self.fc = nn.Linear(1, 1, bias=False)
        nn.init.uniform_(self.fc.weight, -1, 1)
        nn.init.zeros_(self.lstm.get_parameter("bias_hh_l0")).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.lstm(x)[0][:, -1])[:, 0]
        return output


def train(task: Task, seed: int) -> tuple[OneCell, float]:
    """A model and its validation MSE, which is above the goal where training did not come to it."""
    torch.manual_seed(seed)
    model, seen = OneCell(), sums(task, 10000, range(4, 11), seed)
    held_out = sums(task, 2500, (11, 12), 10**6 + seed)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], RATE)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, DECAY)
    for _ in range(EPOCHS):
        for x, y in _shuffled(seen):
            optimizer.zero_grad()
            (model(x) - y).square().mean().backward()
            optimizer.step()
        decay.step()
        with torch.no_grad():
            error = torch.cat([model(part.x) - part.y for part in held_out]).square().mean().item()
        if error < GOALS[task]:
            break
    return model.eval(), error


def _shuffled(parts: Sequence[Sums]) -> Iterator[tuple[Tensor, Tensor]]:
    batches = [(part, start) for part in parts for start in range(0, len(part.y), BATCH)]
    for i in torch.randperm(len(batches)).tolist():
        part, start = batches[i]
        yield part.x[start : start + BATCH], part.y[start : start + BATCH]


def of_method(model: Model, x: Tensor, **method: str) -> Tensor:
    """A method's relevance of each step (n, steps)."""
    found: Tensor = parse_method(method).explain(model, batch_of(x, ValueTarget())).arrays["attribution"]
    return found.sum(2)


def occlusion(model: Model, x: Tensor) -> Tensor:
    """How far the output falls when a step is set to zero (n, steps)."""
    without = [torch.cat([x[:, :t], torch.zeros_like(x[:, :1]), x[:, t + 1 :]], 1) for t in range(x.shape[1])]
    return torch.stack([model.forward(x) - model.forward(hidden) for hidden in without], 1)


def _lrp(gate: str) -> Callable[[Model, Tensor], Tensor]:
    return lambda model, x: of_method(model, x, name="lrp", composite="zero", gate=gate)


EXPLANATIONS: dict[str, Callable[[Model, Tensor], Tensor]] = {
    "gradient x input": lambda model, x: of_method(model, x, name="input_times_gradient"),
    "occlusion": occlusion,
    **{f"LRP-{gate}": _lrp(gate) for gate in ("prop", "abs", "half", "all")},
    "CD": lambda model, x: of_method(model, x, name="contextual_decomposition"),
}


def figures(
    module: OneCell, task: Task, names: Sequence[str] = tuple(EXPLANATIONS), count: int = 2500
) -> dict[str, tuple[float, ...]]:
    """By explanation, in %, on so many sequences of 13 and 14 steps.

    The correlation of each marked number with the relevance of its step, and the mean share of those two steps in the
    relevance of all, by size.
    """
    parts = sums(task, count, (13, 14), 2 * 10**6)
    models = [model_of(module, part.x.shape[1:], dtype=torch.float64, output="value") for part in parts]
    numbers = torch.cat([part.numbers for part in parts]).double()
    found: dict[str, tuple[float, ...]] = {}
    for name in names:
        relevance = [EXPLANATIONS[name](model, p.x.double()) for model, p in zip(models, parts, strict=True)]
        marked = torch.cat([r.gather(1, part.steps) for r, part in zip(relevance, parts, strict=True)])
        share = marked.abs().sum(1) / torch.cat([r.abs().sum(1) for r in relevance])
        first, second = (float(torch.corrcoef(torch.stack([numbers[:, k], marked[:, k]]))[0, 1]) for k in (0, 1))
        found[name] = (100 * first, 100 * second, 100 * float(share.mean()))
    return found


def table(task: Task, count: int) -> None:
    """Train until so many models come to the goal, and print their means beside the book's."""
    found: list[dict[str, tuple[float, ...]]] = []
    seed = 0
    while len(found) < count:
        model, error = train(task, seed)
        print(
            f"   {task}, seed {seed}: validation MSE {error:.1e}{'' if error < GOALS[task] else ', left out'}",
            flush=True,
        )
        if error < GOALS[task]:
            found.append(figures(model, task))
        seed += 1
    print(f"\n   {task:20} {'r(n_a, R_a)':>20} {'r(n_b, R_b)':>20} {'share of a and b':>20}")
    for name in EXPLANATIONS:
        columns = zip(torch.tensor([one[name] for one in found]).mean(0).tolist(), BOOK[task][name], strict=True)
        print(f"   {name:20} " + " ".join(f"{mine:9.3f} ({book:8.3f})" for mine, book in columns))
    print()


def main() -> None:
    """Both tasks; in brackets the book's means over 50 models."""
    torch.set_num_threads(1)
    for task in GOALS:
        table(task, int(sys.argv[1]) if len(sys.argv) > 1 else 3)


if __name__ == "__main__":
    main()
