"""What belongs to a row: where the batch shares an axis, or has a later one, a target is that row's alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.resources import in_memory
from tests.toys import batch_of, model_of
from tests.workers.engine.functions import Call, random
from tests.workers.engine.merged import NETS
from tests.workers.engine.row_models import model
from tests.workers.methods.gradient.gradient_runs import explain
from workers.engine.graph.rows import WHOLE, Rows, by_row
from workers.engine.model.batch import Batch
from workers.explanation.errors import InvalidParameter
from workers.explanation.result import to_numpy
from workers.explanation.target import ClassTarget, Target, UnitTarget
from workers.methods.catalogue import parse_method
from workers.runtime.execute.model_support import support

ROWS = 8
LAYOUTS = [Rows(0, 1, 3), Rows(0, 3, 1), Rows(0, 2, 3), Rows(1), Rows(1, 1, 2), Rows(2, 2, 1), Rows()]


def rows_of(name: str) -> Tensor:
    return random(ROWS, *NETS[name].shape, seed=5)


def truth(name: str, x: Tensor, target: Target) -> Tensor:
    """The gradient of a target at one row, by autograd through the plain module and a hook at its layer."""
    module, seen = NETS[name].module().double(), list[Tensor]()
    module.get_submodule(NETS[name].layer).register_forward_hook(lambda *hooked: seen.append(hooked[2]))
    leaf = x.clone().requires_grad_()
    output = module(leaf)
    part = NETS[name].part(seen[0])
    if isinstance(target, ClassTarget):
        total = output[0, target.index]
    else:
        assert isinstance(target, UnitTarget)
        channel = part.select(NETS[name].channel, target.channel or 0)
        total = channel.sum() if target.index is None else part[target.index]
    return torch.autograd.grad(total, leaf)[0]


def targets_of(name: str) -> list[Target]:
    """Two channels and two units of the layer, and a class."""
    layer = next(one for one in model(name).card.layers if one.name == NETS[name].layer)
    last = tuple(size - 1 for size in layer.shape)
    return [
        UnitTarget(layer=layer.name, channel=0, axis=NETS[name].channel),
        UnitTarget(layer=layer.name, channel=layer.shape[NETS[name].channel] - 1, axis=NETS[name].channel),
        UnitTarget(layer=layer.name, index=(0,) * len(layer.shape)),
        UnitTarget(layer=layer.name, index=last),
        ClassTarget(index=2),
    ]


@pytest.mark.parametrize("rows", LAYOUTS)
def test_what_is_split_is_joined(rows: Rows) -> None:
    parts = random(4, *rows.part([rows.count if axis == rows.axis else 3 for axis in range(3)]))
    value = rows.join(parts)
    assert torch.equal(rows.split(value), parts)
    torch.testing.assert_close(by_row(value, rows), parts.flatten(1).sum(1))
    rows.split(value)[2] = 0
    assert torch.equal(by_row(value, rows) == 0, torch.arange(4) == 2)


def test_a_value_without_a_batch_axis_is_one_rows() -> None:
    value = random(2, 3)
    assert torch.equal(WHOLE.join(WHOLE.split(value)), value)
    assert WHOLE.part((2, 3)) == (2, 3)


@pytest.mark.parametrize("name", NETS)
def test_the_card_lists_the_shape_of_one_row(name: str) -> None:
    module, seen = NETS[name].module(), list[Tensor]()
    module.get_submodule(NETS[name].layer).register_forward_hook(lambda *hooked: seen.append(hooked[2]))
    module(torch.zeros(1, *NETS[name].shape))
    layer = next(one for one in model(name).card.layers if one.name == NETS[name].layer)
    assert layer.shape == tuple(NETS[name].part(seen[0]).shape)
    assert layer.axes.index("channel") == NETS[name].channel
    assert len(layer.axes) == len(layer.shape)
    assert model(name).rows is None


@pytest.mark.parametrize("name", NETS)
def test_a_target_is_its_rows_alone_and_in_company(name: str) -> None:
    """Gradients of a batch whose rows have different targets are those of autograd through each row alone."""
    x, targets = rows_of(name), targets_of(name)
    mixed = [targets[row % len(targets)] for row in range(ROWS)]
    found = explain(model(name), Batch(x, mixed), name="gradient").arrays["attribution"]
    for row, target in enumerate(mixed):
        torch.testing.assert_close(found[row : row + 1], truth(name, x[row : row + 1], target), rtol=1e-9, atol=1e-9)


OF_ONE_PASS = (
    "input_times_gradient",
    "lrp",
    "deep_lift",
    "switched_projection",
    "excitation_backprop",
    "occlusion",
    "ssa",
)


@pytest.mark.parametrize("method", OF_ONE_PASS)
@pytest.mark.parametrize("name", NETS)
def test_every_method_answers_a_row_alone_as_in_company(name: str, method: str) -> None:
    if method == "switched_projection" and name in ("windows", "sequence first"):
        assert "is not piecewise linear" in (support(model(name), method).reason or "")
        return
    x, targets = rows_of(name), targets_of(name)
    mixed = [targets[row % len(targets)] for row in range(ROWS)]
    together = explain(model(name), Batch(x, mixed), name=method).rows()
    for row in range(len(targets)):
        alone = explain(model(name), Batch(x[row : row + 1], [mixed[row]]), name=method).rows()[0]
        for key, array in alone.arrays.items():
            torch.testing.assert_close(
                torch.as_tensor(together[row].arrays[key]), torch.as_tensor(array), rtol=1e-6, atol=1e-6
            )
        for one, other in zip(alone.checks, together[row].checks, strict=True):
            assert one.observed == pytest.approx(other.observed, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["frames", "frames first"])
def test_a_switched_projection_through_frames_is_the_score(name: str) -> None:
    """x . w + b is the unit, with what the biases of all its frames put in and of no other row's."""
    x, targets = rows_of(name), targets_of(name)
    mixed = [targets[row % len(targets)] for row in range(ROWS)]
    for row in explain(model(name), Batch(x, mixed), name="switched_projection").rows():
        for check in row.checks:
            assert check.observed == pytest.approx(check.expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_relevance_is_read_at_a_layer_by_row(name: str) -> None:
    """Gradient times value at the layer: relevance by the zero rule of the linear layer above sums to its score."""
    x, layer = rows_of(name), NETS[name].layer
    found = explain(model(name), batch_of(x, 1), name="lrp", composite="epsilon", to=layer).arrays["attribution"]
    alone = explain(model(name), batch_of(x[3:4], 1), name="lrp", composite="epsilon", to=layer).arrays["attribution"]
    assert tuple(found.shape[1:]) == next(one.shape for one in model(name).card.layers if one.name == layer)
    torch.testing.assert_close(found[3:4], alone, rtol=1e-9, atol=1e-9)
    kept = [{"layer": layer, "channels": [1]}]
    through = explain(model(name), batch_of(x, 1), name="lrp", composite="epsilon", to=layer, units=kept)
    masked = torch.zeros_like(found)
    at = NETS[name].channel + 1
    masked.select(at, 1).copy_(found.select(at, 1))
    torch.testing.assert_close(through.arrays["attribution"], masked, rtol=1e-9, atol=1e-9)


def test_activation_rates_count_rows_and_not_frames() -> None:
    x = rows_of("frames")
    state = explain(model("frames"), Batch(x[:0], [], resources=in_memory(x)), name="activation_rates")
    module, seen = NETS["frames"].module().double(), list[Tensor]()
    module.get_submodule("held.0").register_forward_hook(lambda *hooked: seen.append(hooked[2]))
    module(x)
    rates = (seen[0].view(ROWS, 3, 4, 5, 5) > 0).double().mean(0)
    torch.testing.assert_close(torch.as_tensor(to_numpy(state.arrays["held.0"]))[0], rates.float())


def test_insens_is_found_through_frames() -> None:
    """v / (w . w) w of every inactive unit, weighted by its rate and summed: a loop over units as the oracle."""
    x, net = rows_of("frames"), model("frames")
    resources = in_memory(x)
    found = explain(net, batch_of(x[:2], 1, resources=resources), name="insens", layer="held.0").arrays["attribution"]
    rates = torch.as_tensor(resources.state(net, parse_method("activation_rates"))["held.0"]).double()
    leaf = x[:1].clone().requires_grad_()
    layer = net.layer("held.0").index
    units = net.graph.run(leaf, [layer])[1][layer]
    wanted = torch.zeros_like(leaf)
    for at in (units <= 0).nonzero().tolist():
        slope = torch.autograd.grad(units[tuple(at)], leaf, retain_graph=True)[0]
        wanted += rates[tuple(at)] * units[tuple(at)].detach() / slope.square().sum() * slope
    torch.testing.assert_close(found[:1], wanted, rtol=1e-6, atol=1e-8)


def test_a_map_of_merged_places_is_refused_by_name() -> None:
    """The places of a channel that was merged into the batch are no places of the input's rows."""
    conv, last = torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.Linear(6, 3)
    apart = Call(lambda x: last(conv(x.reshape(-1, 1, 6, 6)).mean((2, 3)).reshape(x.shape[0], 6)), conv, last)
    found = model_of(apart, (3, 6, 6), image=True)
    with pytest.raises(InvalidParameter, match=r"held\.0 has the shape \[3, 2, 6, 6\] for one input"):
        parse_method({"name": "grad_cam", "layer": "held.0"}).refuse(found)


def test_the_box_of_an_input_is_seen_from_where_it_was_arranged_anew() -> None:
    """Ranges by channel reach a convolution that reads every channel as a row: it is as in the net unmerged."""
    conv, last = torch.nn.Conv1d(1, 2, 3, padding=1), torch.nn.Linear(4, 3)
    spread = torch.nn.Conv1d(2, 4, 3, padding=1, groups=2)
    spread.load_state_dict({key: torch.cat([value, value]) for key, value in conv.state_dict().items()})
    merged = Call(lambda x: last(torch.relu(conv(x.reshape(-1, 1, 6))).mean(2).reshape(x.shape[0], 4)), conv, last)
    plain = Call(lambda x: last(torch.relu(spread(x)).mean(2)), spread, last)
    x, table = random(3, 2, 6, seed=2), [{"rule": "z_box", "where": "first"}, {"rule": "epsilon"}]
    one, other = (
        explain(
            model_of(net.float(), (2, 6), dtype=torch.float64, low=(-4.0, -5.0), high=(4.0, 6.0)),
            batch_of(x, 1), name="lrp", composite=table,
        ).arrays["attribution"]
        for net in (merged, plain)
    )  # fmt: skip
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
