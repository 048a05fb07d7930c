"""Passes by a recording are those by autograd, of any values; what cannot be recorded is passed plainly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.orders import work
from tests.toys import inputs, model_of, net
from tests.workers.engine.emulated_cuda import Cuda
from workers.engine.model import recorded_pass, whole_pass
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.engine.model.recorded_pass import WORTH, Recorder, draws
from workers.engine.model.rows_at_once import numbers
from workers.explanation.target import ClassTarget, RankTarget
from workers.jobs.stored_results import Finished
from workers.methods.method import parse_method
from workers.runtime.execute.run import run

GPU = torch.device("cuda", 0)
SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "allowed", True)


def recording(model: Model) -> Cuda:
    """The model as if on a GPU, and what records its passes."""
    cuda = Cuda()
    model.recorder = Recorder(GPU, cuda)
    return cuda


class Awkward(nn.Module):
    """Values written in place, parts taken and joined, a pooling, a norm and a row that is sorted."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.norm, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4).eval(), nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.conv(x))
        h = torch.cat([h[:, :2].clone().mul_(2), h[:, 2:].sigmoid()], 1)
        h = nn.functional.max_pool2d(torch.relu_(h), 2).flatten(1)
        return self.last(h.sort(dim=1).values * h)  # type: ignore[no-any-return]


@pytest.mark.parametrize("module", [net().eval(), Awkward().eval()], ids=["net", "awkward"])
def test_replays_give_the_gradients_of_values_that_they_were_not_recorded_with(module: nn.Module) -> None:
    model = model_of(module, SHAPE, torch.float64)
    exact, cuda = Recorder(torch.device("cpu")), recording(model)
    for turn in range(WORTH + 4):
        x = inputs(2, seed=turn).double() - 0.5
        wanted = [ClassTarget(index=turn % 3), ClassTarget(index=2)]
        scores, slopes = model.gradient(x, wanted)
        plainly = whole_pass.gradient(model.graph, x, lambda _: wanted, exact)  # noqa: B023
        torch.testing.assert_close((scores, slopes), plainly, rtol=1e-12, atol=1e-12)
    assert [graph.replays for graph in cuda.graphs] == [7, 7]  # two each to compare


def test_it_is_recorded_on_the_models_gpu_and_on_the_stream_that_was_warmed() -> None:
    model = model_of(net(), SHAPE)
    cuda = recording(model)
    for _ in range(WORTH):
        model.gradient(inputs(1), [ClassTarget(index=0)])
    there, back = cuda.recorded_on
    assert (there is back, there.used, cuda.devices) == (True, 1, [model.device])
    assert (there.waited, cuda.own.waited) == ([cuda.own], [there])
    assert cuda.current_stream(GPU) is cuda.own


def test_what_a_replay_gave_stays_as_it_is() -> None:
    model = model_of(net(), SHAPE)
    recording(model)
    found = [model.gradient(inputs(1, seed=turn), [ClassTarget(index=0)]) for turn in range(WORTH + 3)]
    kept = [(scores.clone(), slopes.clone()) for scores, slopes in found]
    model.gradient(inputs(1, seed=99), [ClassTarget(index=1)])
    torch.testing.assert_close(found, kept, rtol=0, atol=0)
    assert not torch.equal(found[-1][1], found[-2][1])


@pytest.mark.parametrize("method", ["gradient", "input_times_gradient", "integrated_gradients", "smooth_grad"])
def test_methods_find_the_same_by_recordings(method: str) -> None:
    plain, recorded = (model_of(net(), SHAPE, torch.float64) for _ in range(2))
    cuda = recording(recorded)
    for turn in range(WORTH + 2):
        x = inputs(2, seed=turn).double()
        one, other = (
            parse_method(method).explain(model, Batch(x, [RankTarget(rank=0)] * 2, [7, 8], once=True)).arrays
            for model in (plain, recorded)
        )
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert sum(graph.replays for graph in cuda.graphs) > 4


@pytest.mark.parametrize(
    "asks",
    [
        lambda x: float(x.detach().sum()) > 0,
        lambda x: x.detach().nonzero(),
        lambda x: x[x.detach() > 0],
        torch.rand_like,
    ],
    ids=["a value", "where it is not zero", "by a mask", "a draw"],
)
def test_what_waits_for_the_device_or_draws_is_known_before_it_is_recorded(
    monkeypatch: pytest.MonkeyPatch, asks: Callable[[Tensor], object]
) -> None:
    model = model_of(net(), SHAPE)
    cuda, ran = recording(model), type(model.graph).run

    def asking(self: Any, x: Tensor, keep: Iterable[int] = ()) -> Any:
        asks(x)
        return ran(self, x, keep)

    monkeypatch.setattr(type(model.graph), "run", asking)
    for turn in range(WORTH + 2):
        assert model.gradient(inputs(1, seed=turn), [ClassTarget(index=0)])[1].any()
    assert (cuda.recorded_on, model.recorder.made) == ([], 0)
    assert Recorder.allowed


QUERY = torch.zeros(1, 2, 4, 8)
ATEN = torch.ops.aten


@pytest.mark.parametrize(
    ("func", "args", "given", "drawn"),
    [
        (ATEN.bernoulli.default, (), {}, True),
        (ATEN.native_dropout.default, (QUERY, 0.5, True), {}, True),
        (ATEN.add.Tensor, (QUERY, QUERY), {}, False),
        *(
            (func, (QUERY, QUERY, QUERY, *more), given, drawn)
            for func, more in (
                (ATEN._scaled_dot_product_flash_attention_for_cpu.default, ()),
                (ATEN._scaled_dot_product_flash_attention.default, ()),
                (ATEN._scaled_dot_product_efficient_attention.default, (None, True)),
            )
            for given, drawn in (({}, False), ({"dropout_p": 0.0}, False), ({"dropout_p": 0.1}, True))
        ),
    ],
)
def test_attention_that_drops_nothing_draws_nothing(func: Any, args: Any, given: dict[str, Any], drawn: bool) -> None:
    """Of which of these a net's attention is made, processors and sizes decide."""
    assert draws(func, args, given) == drawn


def test_a_recording_that_breaks_off_leaves_passes_plain_on_the_stream_that_they_were_on() -> None:
    model = model_of(net(), SHAPE)
    cuda = recording(model)
    cuda.breaks = True
    for turn in range(WORTH + 2):
        assert model.gradient(inputs(1, seed=turn), [ClassTarget(index=0)])[1].any()
    assert cuda.current_stream(GPU) is cuda.own
    assert (len(cuda.recorded_on), Recorder.allowed) == (1, False)  # torch's allocator does not get over it


def test_a_recording_that_gives_other_numbers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(net(), SHAPE)
    cuda = recording(model)
    monkeypatch.setattr("tests.workers.engine.emulated_cuda.Recorded.replay", lambda _: None)
    found = [model.gradient(inputs(1), [ClassTarget(index=0)])[1] for _ in range(WORTH + 2)]
    assert all(torch.equal(found[0], slopes) for slopes in found)
    assert (len(cuda.graphs), model.recorder.made) == (2, 0)


def test_few_sizes_are_kept_and_none_that_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(net(), SHAPE)
    cuda = recording(model)
    monkeypatch.setattr(recorded_pass, "LARGEST", 6 * numbers(model.graph))
    for rows in range(1, 8):
        for _ in range(WORTH):
            model.gradient(inputs(rows), [ClassTarget(index=0)] * rows)
    assert len(cuda.graphs) == 2 * 6
    assert model.recorder.made == recorded_pass.MOST


@pytest.mark.parametrize("rows", [1, 3])
def test_where_memory_is_short_recordings_are_given_back_and_the_work_is_done_again(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    model = model_of(net(), SHAPE)
    recording(model)
    works = [work(0, "gradient", value=0.1 * n) for n in range(rows)]
    for _ in range(WORTH):
        model.gradients(Batch(inputs(rows), [RankTarget(rank=0)] * rows, once=True))
    assert model.recorder.made == 1
    plain = model.recorder.through

    def full(graph: Any, x: Tensor) -> Any:
        if model.recorder.made:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(graph, x)

    monkeypatch.setattr(model.recorder, "through", full)
    assert all(isinstance(outcome, Finished) for _, outcome in run(works, lambda _: model))
    for _ in range(WORTH + 1):
        model.gradient(inputs(rows), [ClassTarget(index=0)] * rows)
    assert model.recorder.made == 0


def test_twins_with_dropout_record_nothing() -> None:
    model = model_of(net(), SHAPE)
    cuda = recording(model)
    method = parse_method({"name": "mc_dropout", "of": {"name": "integrated_gradients", "steps": 16}, "samples": 4})
    method.explain(model, Batch(inputs(1), [ClassTarget(index=0)], [3]))
    assert cuda.recorded_on == []


def test_two_threads_at_once_do_not_share_a_recording() -> None:
    model = model_of(net(), SHAPE)
    recording(model)
    x = inputs(1)
    for _ in range(WORTH):
        model.gradient(x, [ClassTarget(index=0)])
    with model.recorder.through(model.graph, x) as mine:
        kinds: list[type] = []

        def other() -> None:
            with model.recorder.through(model.graph, x) as theirs:
                kinds.append(type(theirs))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert (type(mine), kinds) == (recorded_pass.Replay, [recorded_pass.PlainPass])
