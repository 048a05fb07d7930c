"""occlusion and score_cam: passes shared by targets, windows by the card's axes, faults that name their field."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, inputs, model_of, net
from tests.workers.methods.cam.test_cam_and_occlusion import Pooled
from tests.workers.methods.gradient.gradient_runs import attribution
from workers.engine.graph.graph import Graph
from workers.engine.model.batch import Batch
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidParameter
from workers.explanation.target import ClassTarget, UnitTarget


class Turned(nn.Module):
    """A net for inputs whose channels come last."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.of(x.movedim(-1, 1))
        return output


def series() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(28, 2))


def turned(module: nn.Module) -> Model:
    model = model_of(Turned(module), (9, 3))
    spec = model.card.input.model_copy(update={"axes": ("time", "channel")})
    model.card = model.card.model_copy(update={"input": spec})
    return model


@pytest.mark.parametrize("fill", ["zero", "mean", "blur"])
def test_windows_slide_along_time_wherever_the_channels_are(fill: str) -> None:
    module, x = series(), inputs(2, shape=(3, 9))
    asked = {"name": "occlusion", "patch": 3, "stride": 2, "fill": fill}
    first = attribution(model_of(module, (3, 9)), batch_of(x, 1), **asked)
    last = attribution(turned(module), batch_of(x.movedim(1, -1), 1), **asked)
    assert last.shape == (2, 9, 1)
    torch.testing.assert_close(last.movedim(-1, 1), first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 7), (1, 5, 6), (1, 4, 4, 4)])
def test_a_window_hides_its_places_in_all_channels(shape: tuple[int, ...]) -> None:
    """Against the windows written out one by one; the last of a row is cut at the edge."""
    torch.manual_seed(0)
    size = torch.zeros(shape).numel()
    module, x = nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.ReLU(), nn.Linear(8, 2)), inputs(1, shape=shape)
    total, count = torch.zeros(shape[1:]), torch.zeros(shape[1:])
    for corner in torch.cartesian_prod(*[torch.arange(0, n - 1, 2) for n in shape[1:]]).view(-1, len(shape) - 1):
        at = (slice(None), *(slice(int(start), int(start) + 3) for start in corner))
        hidden = x[0].clone()
        hidden[at] = 0.3
        total[at[1:]] += float((module(x) - module(hidden[None])).detach()[0, 1])
        count[at[1:]] += 1
    values = attribution(
        model_of(module, shape), batch_of(x, 1), name="occlusion", patch=3, stride=2, fill="constant", value=0.3
    )
    torch.testing.assert_close(values[0, 0], total / count, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["occlusion", "score_cam"])
def test_the_targets_of_one_input_share_its_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = model_of(Pooled(), (1, 8, 8)), inputs(2)
    alone = [
        attribution(model, batch_of(x[row : row + 1], target), name=name) for row, target in ((0, 0), (0, 2), (1, 1))
    ]
    rows_run: list[int] = []
    run = Graph.run

    def counted(graph: Graph, x: Tensor, keep: tuple[int, ...] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        rows_run.append(len(x))
        return run(graph, x, keep)

    monkeypatch.setattr(Graph, "run", counted)
    batch = Batch(x[[0, 0, 1]], [ClassTarget(index=index) for index in (0, 2, 1)])
    torch.testing.assert_close(attribution(model, batch, name=name), torch.cat(alone), rtol=1e-4, atol=1e-5)
    points = {"occlusion": 1 + 8 * 8, "score_cam": 5}[name]
    assert sum(rows_run) == 2 * points
    later = batch.sharing([ClassTarget(index=index) for index in (2, 0, 1)], [])
    found = attribution(model, later, name=name)
    torch.testing.assert_close(found, torch.cat([alone[1], alone[0], alone[2]]), rtol=1e-4, atol=1e-5)
    assert sum(rows_run) == 2 * points


@pytest.mark.parametrize("name", ["occlusion", "score_cam"])
def test_a_unit_is_a_target_too(name: str) -> None:
    model, x = model_of(net(), (1, 8, 8)), inputs(2)
    unit = attribution(model, batch_of(x, UnitTarget(layer="fc", index=(1,))), name=name)
    torch.testing.assert_close(unit, attribution(model, batch_of(x, 1), name=name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["minimum", "uniform"])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("integrated_gradients", "baseline"),
        ("deep_lift", "baseline"),
        ("occlusion", "fill"),
        ("lime", "fill"),
        ("rise", "fill"),
        ("prediction_difference", "fill"),
    ],
)
def test_a_range_that_is_not_known_is_the_fault_of_the_field_that_asked(name: str, field: str, kind: str) -> None:
    with pytest.raises(InvalidParameter, match="needs the range") as caught:
        attribution(model_of(net(), (1, 8, 8)), batch_of(inputs(1), 1), **{"name": name, field: kind})
    assert caught.value.pointer == f"/method/{field}"
