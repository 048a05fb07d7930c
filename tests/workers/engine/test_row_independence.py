"""Models whose answer for a row hangs on the rest of the batch: found when loaded, run a row at a time, or refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tests.resources import in_memory
from tests.toys import batch_of, model_of
from tests.workers.engine.functions import Call, random
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidFolder
from workers.explanation.target import ClassTarget, Target, UnitTarget
from workers.methods.catalogue import parse_method
from workers.methods.nested.attributions import attributed
from workers.runtime.execute.model_support import support

Mix = Callable[[Tensor], Tensor]
MIXING: dict[str, Mix] = {
    "less the mean": lambda h: torch.relu(h) - h.mean(0, keepdim=True) / 2,
    "less a mean without an axis": lambda h: torch.relu(h) - h.mean(0) / 2,
    "softmax over rows": lambda h: torch.relu(h) * h.softmax(0),
    "normalised over rows": lambda h: torch.relu(h) + normalize(h, dim=0),
    "sorted over rows": lambda h: torch.relu(h) + h.sort(0).values,
    "the best of the rows": lambda h: h * (h >= h.topk(1, 0).values),
    "summed up to a row": lambda h: torch.relu(h).cumsum(0),
    "the row before": lambda h: torch.relu(h + h.roll(1, 0) / 2),
    "two rows before": lambda h: torch.relu(h + h.roll(2, 0) / 2),
    "rows that attend to rows": lambda h: (h @ h.t()).softmax(1) @ torch.relu(h),
    "by the number of rows": lambda h: torch.relu(h) / h.shape[0],
}
APART: dict[str, Mix] = {
    "normalised over features": lambda h: torch.relu(normalize(h, dim=1)),
    "the best of the features": lambda h: h * (h >= h.topk(1, 1).values),
    "summed up to a feature": lambda h: torch.relu(h).cumsum(1),
    "features that attend to features": lambda h: (h.unsqueeze(2) @ h.unsqueeze(1)).softmax(1).flatten(1)[:, :5],
    "a number of each row": lambda h: torch.relu(h) * h[:, 0].abs().unsqueeze(1),
    "a squeeze of all axes": lambda h: torch.relu(h).unsqueeze(1).squeeze(),
}


def net(mix: Mix) -> nn.Module:
    torch.manual_seed(0)
    first, last = nn.Linear(4, 5), nn.Linear(5, 3)
    return Call(lambda x: last(mix(first(x))), first, last)


@cache
def model(name: str) -> Model:
    return model_of(net({**MIXING, **APART}[name]).float(), (4,), dtype=torch.float64)


@pytest.mark.parametrize("name", MIXING)
def test_rows_that_depend_on_each_other_are_run_one_at_a_time(name: str) -> None:
    found = model(name)
    assert found.rows == 1
    assert found.chunk == 1
    x, module = random(4, 4), net(MIXING[name]).double()
    torch.testing.assert_close(found.forward(x), torch.cat([module(row) for row in torch.split(x, 1)]))


@pytest.mark.parametrize("name", APART)
def test_rows_that_do_not_are_run_together(name: str) -> None:
    assert model(name).rows is None
    x, module = random(4, 4), net(APART[name]).double()
    torch.testing.assert_close(model(name).forward(x), torch.cat([module(row).view(1, 3) for row in torch.split(x, 1)]))
    torch.testing.assert_close(model(name).forward(x[:1]), module(x[:1]).view(1, 3))


@pytest.mark.parametrize("name", MIXING)
def test_gradients_are_those_of_a_row_alone(name: str) -> None:
    x, module = random(3, 4, seed=1), net(MIXING[name]).double()
    leaves = [row.clone().requires_grad_() for row in torch.split(x, 1)]
    expected = [torch.autograd.grad(module(leaf)[0, 1], leaf)[0] for leaf in leaves]
    found = attributed(model(name), batch_of(x, 1), parse_method("gradient"))
    torch.testing.assert_close(found, torch.cat(expected))


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients", "lime", "rise", "smooth_grad", "kernel_shap"])
def test_altered_copies_are_run_one_at_a_time_too(method: str) -> None:
    """Many copies in one pass would be each other's company: the answers are those of the model that is one row's."""
    x, spread = random(2, 4, seed=2), net(lambda h: torch.relu(h) - h / 2)
    same = model_of(spread.float(), (4,), dtype=torch.float64)
    assert same.rows is None
    found = attributed(model("less the mean"), batch_of(x, 1, seeds=[0, 0]), parse_method(method))
    expected = attributed(same, batch_of(x, 1, seeds=[0, 0]), parse_method(method))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("target", [ClassTarget(index=0), UnitTarget(layer="held.0", channel=2)])
@pytest.mark.parametrize("method", ["gradient", "deep_lift", "switched_projection", "ssa", "activation_rates"])
def test_a_tape_holds_one_row(method: str, target: Target) -> None:
    found = model("by the number of rows")
    resources = in_memory(random(6, 4))
    rows = explain(found, Batch(random(1, 4), [target], resources=resources), name=method).rows()
    assert len(rows) == 1


def test_batch_norm_without_statistics_of_its_own_is_an_instance_norm() -> None:
    """Of one input it is one; so the rows of a pass need not be kept apart."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, track_running_stats=False), nn.ReLU(), nn.Flatten(),
                           nn.Linear(48, 2))  # fmt: skip
    nn.init.normal_(module.get_parameter("1.weight"))
    found, x = model_of(module, (1, 6, 6), dtype=torch.float64), random(3, 1, 6, 6)
    module.double()
    assert found.rows is None
    torch.testing.assert_close(found.forward(x), torch.cat([module(row) for row in torch.split(x, 1)]))
    leaf = x[1:2].clone().requires_grad_()
    expected = torch.autograd.grad(module(leaf)[0, 1], leaf)[0]
    torch.testing.assert_close(explain(found, batch_of(x, 1), name="gradient").arrays["attribution"][1:2], expected)
    check = explain(found, batch_of(x, 1), name="lrp", composite="epsilon").rows()[0].checks[0]
    assert check.name == "conservation"


@pytest.mark.parametrize(
    ("module", "shape", "reason"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)), (4,),
         "is a batch norm without statistics of its own: .* Train and export it with track_running_stats=True"),
        (net(lambda h: h - h.mean(0, keepdim=True)), (4,), "mixes|has no axis of its own .* alone it says the same"),
        (net(lambda h: (h - h.mean(0)) / h.std(0)), (4,), "or no number; export it with statistics of its own"),
        (net(lambda h: h.mean(0)), (4,), "its first axis is not the batch"),
    ],
)  # fmt: skip
def test_what_has_no_answer_for_one_input_is_refused(module: nn.Module, shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(InvalidFolder, match=reason):
        model_of(module, shape)


def test_batch_norm_over_merged_frames_is_run_a_row_at_a_time() -> None:
    """Its statistics are those of all frames of a row."""
    torch.manual_seed(0)
    conv, norm, last = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.Linear(2, 3)

    def run(x: Tensor) -> Tensor:
        seen = torch.relu(norm(conv(x.reshape(-1, 1, 5, 5)))).mean((2, 3))
        return last(seen.view(x.shape[0], 3, 2).amax(1))  # type: ignore[no-any-return]

    module = Call(run, conv, norm, last)
    found, x = model_of(module, (3, 1, 5, 5), dtype=torch.float64), random(2, 3, 1, 5, 5)
    module.double()
    assert found.rows == 1
    torch.testing.assert_close(found.forward(x), torch.cat([module(row) for row in torch.split(x, 1)]))


@pytest.mark.parametrize("method", ["pattern_fit", "pattern_net", "pattern_attribution", "signal_quality"])
def test_patterns_of_tokens_are_refused_with_the_embedding(method: str) -> None:
    """No value flows from the input into a neuron: there is nothing to fit."""
    torch.manual_seed(0)
    table, last = nn.Embedding(9, 4), nn.Linear(4, 3)
    found = model_of(Call(lambda x: last(torch.relu(table(x.long())).mean(1)), table, last), (6,))
    told = support(found, method)
    assert not told.supported
    assert "looked up in the embedding held.0" in (told.reason or "")


def test_a_model_that_returns_one_number_for_a_row_runs_its_rows_together() -> None:
    """Its output has no axis but that of the batch."""

    class Summed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x).sum(1)

    model = model_of(Summed(), (3,), output="value")
    assert not model.graph.alone
    assert not model.folded.alone
