"""A whole LSTM by hand, and the table of the book."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from benchmarks.lstm_table import OneCell, Task, figures, sums
from tests.toys import batch_of, model_of
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.explanation.target import ValueTarget

GATES = ["all", "prop", "abs", "half"]


def one_cell(weights: Sequence[float]) -> OneCell:
    """A model of the book's toy sums from its 17 numbers."""
    model = OneCell()
    names = ("lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0", "fc.weight")
    parts = torch.split_with_sizes(torch.tensor(weights), [8, 4, 4, 1])
    for name, part in zip(names, parts, strict=True):
        parameter = model.get_parameter(name)
        parameter.data = part.view_as(parameter)
    return model.eval()


# what `benchmarks.lstm_table` trains from seed 0
TRAINED: dict[Task, OneCell] = {
    "addition": one_cell([
        0.006446, -0.003113, -0.005546, -0.001573, -5.6e-05, 0.266734, 0.019028, -0.007246, 0.001611, 0.006477,
        0.063346, 0.0068, 0.413559, 3.270025, 4.8e-05, 4.232212, 6.539596,
    ]),
    "subtraction": one_cell([
        -8.340542, 9.642508, 7.069654, -11.066024, -0.607538, -0.452186, -0.177382, -0.381613, -3.052264, 1.761772,
        -1.054618, 0.611422, -0.935847, 1.622008, 0.309934, 3.503258, 2.3592,
    ]),
}  # fmt: skip


def naive(model: OneCell, x: Tensor, gate: str, epsilon: float) -> Tensor:
    """S4 11.3 by hand for one sequence (steps, 2): float64 numbers, step by step."""
    weights = {name: value.double() for name, value in model.state_dict().items()}
    joined = torch.cat([weights["lstm.weight_ih_l0"], weights["lstm.weight_hh_l0"]], 1)
    bias, out = weights["lstm.bias_ih_l0"], weights["fc.weight"].item()

    def stable(z: Tensor) -> Tensor:
        return z + (epsilon if z >= 0 else -epsilon)

    def split(r: Tensor, zg: Tensor, zs: Tensor) -> tuple[Tensor, Tensor]:
        size = zg.abs() / (zg.abs() + zs.abs() + epsilon)
        share = {"all": 0 * zg, "prop": zg / stable(zg + zs), "abs": size, "half": 0 * zg + 0.5}[gate]
        rest = {"all": 1 + 0 * zg, "prop": zs / stable(zg + zs), "abs": zs.abs() / (zg.abs() + zs.abs() + epsilon)}
        return share * r, rest.get(gate, share) * r

    h, c, steps = x.new_zeros(()), x.new_zeros(()), []
    for t in range(len(x)):
        reads = torch.cat([x[t], h[None]])
        z, before = joined @ reads + bias, c
        i, f, g, o = z
        kept, written = f.sigmoid() * c, i.sigmoid() * g.tanh()
        c = kept + written
        h = o.sigmoid() * c.tanh()
        steps.append((reads, z, before, kept, written, c))
    found, r_h, r_c = torch.zeros_like(x), h * out, x.new_zeros(())
    for t in reversed(range(len(x))):
        reads, z, before, kept, written, c = steps[t]
        r_o, r_shown = split(r_h, z[3], c)
        r_c = r_c + r_shown
        # at the first step there is no signal to keep: the only factor that comes from the input has it all
        r_f, r_before = split(kept / stable(c) * r_c, z[1], before) if t else (kept * 0, kept * 0)
        r_i, r_g = split(written / stable(c) * r_c, z[0], z[2])
        r_z = torch.stack([r_i, r_f, r_g, r_o])
        r_reads = reads * sum(joined[k] * r_z[k] / stable(z[k]) for k in range(4))
        found[t], r_h, r_c = r_reads[:2], r_reads[2], r_before
    return found


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("task", TRAINED)
def test_a_whole_lstm_hands_relevance_back_as_written_by_hand(task: Task, gate: str) -> None:
    x = sums(task, 3, (6,), 7)[0].x.double()
    model = model_of(TRAINED[task], x.shape[1:], dtype=torch.float64, output="value")
    table = [{"rule": "epsilon", "epsilon": 1e-6}]  # what sums and products have
    found = attribution(model, batch_of(x, ValueTarget()), name="lrp", composite=table, gate=gate)
    for row in range(len(x)):
        torch.testing.assert_close(found[row], naive(TRAINED[task], x[row], gate, 1e-6), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "sign", "least"), [("addition", 1, 99.5), ("subtraction", -1, 99.0)])
def test_table_11_2(task: Task, sign: int, least: float) -> None:
    """LRP-all and gradient x input find the two numbers, LRP-all best; sharing with the gates finds them not."""
    found = figures(TRAINED[task], task, ["gradient x input", "LRP-prop", "LRP-abs", "LRP-half", "LRP-all"])
    first, second, share = found["LRP-all"]
    assert first >= least
    assert sign * second >= least
    assert share >= 98.5
    gradient = found["gradient x input"]
    assert 97 < gradient[0] < first
    assert 97 < sign * gradient[1] < sign * second
    for gate, most in (("prop", 40), ("abs", 50), ("half", 75)):
        assert all(abs(figure) < most for figure in found[f"LRP-{gate}"][:2])
