"""activation_rates and insens: the closed form, and a naive loop over units (S0 section 4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.resources import in_memory, no_input
from tests.toys import Net, batch_of, inputs, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from tests.workers.methods.gradient.test_switched import Pieces, two_layers
from workers.engine.graph.tape import Tape
from workers.engine.layers.receptive_field import windows
from workers.explanation.errors import InvalidParameter, MethodNotApplicable
from workers.methods.catalogue import parse_method
from workers.methods.structure.insens.forward_mode import Pushforward
from workers.methods.structure.insens.inactive_sensitivity import Layer

Activity = Callable[[Tensor], Tensor]


def naive(activity: Activity, x: Tensor, rates: Tensor, include_active: bool = False) -> Tensor:
    """Equations 7 and 8, one unit at a time."""
    total = torch.zeros_like(x)
    for unit in torch.ones_like(rates).nonzero().tolist():
        leaf = x.clone().requires_grad_()
        v = activity(leaf)[(0, *unit)]
        (w,) = torch.autograd.grad(v, leaf)
        if (include_active or v <= 0) and (w != 0).any():
            total += rates[tuple(unit)] * v.detach() / (w * w).sum() * w
    return total


def two_conv(channels: tuple[int, int] = (32, 64), hidden: int = 512, places: int = 28) -> nn.Sequential:
    """The net of the seed's appendix B."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, channels[0], 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(channels[0], channels[1], 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(channels[1] * (places // 4) ** 2, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip


def test_the_closed_form() -> None:
    """x = (0, .5) switches both units off; each is on for all of the data: (-.25, .25) + (-.2, -.4)."""
    model, x = model_of(two_layers(), (2,)), torch.tensor([[0.0, 0.5]])
    resources = in_memory(torch.tensor([[2.0, 1.0], [3.0, 1.0]]))
    found = attribution(model, batch_of(x, 0, resources=resources), name="insens", layer="0")
    assert found[0].tolist() == pytest.approx([-0.45, -0.15])
    mean = explain(model, batch_of(x, 0, resources=resources), name="insens", layer="0", reduce="mean")
    assert mean.arrays["attribution"][0].tolist() == pytest.approx([-0.225, -0.075])
    assert mean.info[0]["inactive"] == mean.info[0]["summed"] == 2


def test_the_mean_is_over_all_inactive_units_and_of_none_it_is_zero() -> None:
    """One that the data never switches on is of I_l too, with the weight m_i / N = 0 (S0 eq. 8)."""
    model, x = model_of(two_layers(), (2,)), torch.tensor([[0.0, 0.5], [2.0, 1.0]])
    resources = in_memory(torch.tensor([[1.0, -1.0], [0.4, 0.3]]))  # the first unit is on, the second always off
    batch = batch_of(x, 0, resources=resources)
    total, mean = (explain(model, batch, name="insens", layer="0", reduce=way) for way in ("sum", "mean"))
    torch.testing.assert_close(mean.arrays["attribution"][0], total.arrays["attribution"][0] / 2)
    assert [(one["inactive"], one["summed"]) for one in mean.info] == [(2, 1), (0, 0)]
    assert not mean.arrays["attribution"][1].any()


def test_rates_are_shares_of_the_data() -> None:
    model = model_of(two_layers(), (2,))
    data = torch.tensor([[2.0, 1.0], [3.0, 1.0], [0.0, 0.5], [1.0, 0.9]])
    result = parse_method("activation_rates").explain(model, no_input(model, in_memory(data)))
    assert result.arrays["0"].tolist() == [[0.75, 0.75]]
    assert result.info[0]["units"] == 2
    assert result.info[0]["active"] == pytest.approx(0.75)


def test_a_unit_that_loses_in_max_pooling_is_not_passed() -> None:
    module, data = two_conv((3, 4), 12, 16), inputs(5, seed=2, shape=(1, 16, 16))
    model = model_of(module, (1, 16, 16))
    info = parse_method("activation_rates").explain(model, no_input(model, in_memory(data))).info[0]
    for layer, units in (("0", 3 * 256), ("3", 4 * 64)):
        rectified = module[: int(layer) + 2](data)
        winners = nn.functional.max_pool2d(rectified, 2) > 0
        assert info["layers"][layer]["active"] == pytest.approx(float((rectified > 0).double().mean()))
        assert info["layers"][layer]["passed"] == pytest.approx(int(winners.sum()) / 5 / units)
    assert info["layers"]["7"]["active"] == info["layers"]["7"]["passed"]
    assert info["passed"] < info["active"]


def test_the_units_of_the_seeds_net_are_counted_as_in_its_table() -> None:
    for places, units in ((28, 38144), (96, 442880), (24, 28160)):
        model = model_of(two_conv(places=places), (1, places, places))
        result = parse_method("activation_rates").explain(
            model, no_input(model, in_memory(torch.rand(1, 1, places, places)))
        )
        assert result.info[0]["units"] == units


@pytest.mark.parametrize("include_active", [False, True])
@pytest.mark.parametrize("layer", ["0", "3", "7"])
def test_it_equals_the_naive_loop_on_the_seeds_net(layer: str, include_active: bool) -> None:
    module = two_conv((3, 4), 12, 16)
    model, x = model_of(module, (1, 16, 16), dtype=torch.float64), inputs(2, shape=(1, 16, 16)).double()
    resources = in_memory(inputs(8, seed=2, shape=(1, 16, 16)).double())
    found = attribution(
        model, batch_of(x, resources=resources), name="insens", layer=layer, include_active=include_active
    )
    rates = torch.from_numpy(resources.state(model, parse_method("activation_rates"))[layer]).double()
    activity = nn.Sequential(*list(module.double())[: int(layer) + 1])
    for row in range(2):
        torch.testing.assert_close(
            found[row : row + 1], naive(activity, x[row : row + 1], rates, include_active), rtol=1e-9, atol=1e-12
        )


def test_a_sum_of_branches_with_batch_norm_equals_the_naive_loop() -> None:
    module = net().double()
    model, x = model_of(net(), (1, 8, 8), dtype=torch.float64), inputs(1).double()
    resources = in_memory(inputs(8, seed=2).double())

    def before_the_second_relu(x: Tensor) -> Tensor:
        assert isinstance(module, Net)
        x = module.bn1(module.conv1(x)).relu()
        value: Tensor = x + module.conv2(x)
        return value

    found = explain(model, batch_of(x, resources=resources), name="insens")
    layer = found.info[0]["layer"]
    rates = torch.from_numpy(resources.state(model, parse_method("activation_rates"))[layer]).double()
    expected = naive(before_the_second_relu, x, rates)
    torch.testing.assert_close(found.arrays["attribution"], expected, rtol=1e-9, atol=1e-12)
    assert found.info[0]["summed"] == int(((before_the_second_relu(x)[0] <= 0) & (rates > 0)).sum())


def test_a_rectifiers_own_name_means_the_layer_before_it() -> None:
    model, x = model_of(two_conv((3, 4), 12, 16), (1, 16, 16)), inputs(1, shape=(1, 16, 16))
    batch = batch_of(x, resources=in_memory(inputs(4, seed=2, shape=(1, 16, 16))))
    one, other = (explain(model, batch, name="insens", layer=layer) for layer in ("3", "4"))
    assert one.info[0]["layer"] == other.info[0]["layer"] == "3"
    torch.testing.assert_close(one.arrays["attribution"], other.arrays["attribution"])


def test_units_that_the_data_never_switches_on_count_for_nothing() -> None:
    model, x = model_of(two_layers(), (2,)), torch.tensor([[0.0, 0.5]])
    resources = in_memory(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))  # the second unit is on for neither
    found = explain(model, batch_of(x, 0, resources=resources), name="insens", layer="0")
    assert found.arrays["attribution"][0].tolist() == pytest.approx([-0.125, 0.125])
    assert found.info[0]["summed"] == 1


def test_no_unit_sees_beyond_its_window() -> None:
    """The windows read off the graph against the Jacobian itself: strides, padding, dilation, pooling and branches."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Conv2d(1, 2, 5, stride=2, padding=2)
            self.c = nn.Conv2d(4, 2, (2, 3), dilation=(2, 1), padding=(1, 0))
            self.d = nn.Conv2d(2, 2, 4, padding="same")

        def forward(self, x: Tensor) -> Tensor:
            x = torch.cat([self.a(x), self.b(x)], 1)
            output: Tensor = self.d(self.c(nn.functional.max_pool2d(x.sigmoid(), 3, 2, 1)))
            return output

    model, x = model_of(Branches(), (1, 24, 24)), inputs(1, shape=(1, 24, 24))
    seen = windows(model.folded, model.folded.nodes[-1])
    assert seen is not None
    assert [window.jump for window in seen] == [4, 4]
    jacobian = torch.func.jacrev(lambda x: model.folded.run(x)[0][0])(x)[:, :, :, 0]
    for row in range(jacobian.shape[1]):
        for column in range(jacobian.shape[2]):
            where = jacobian[:, row, column].abs().sum((0, 1)).nonzero()
            for axis, place in enumerate((row, column)):
                window = seen[axis]
                assert int(where[:, axis].min()) >= window.jump * place + window.low
                assert int(where[:, axis].max()) <= window.jump * place + window.high


def test_what_is_broadcast_is_seen_whole() -> None:
    class Broadcast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.near, self.far = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 8)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.near(x) + self.far(x)
            return output

    graph = model_of(Broadcast(), (1, 8, 8)).folded
    assert windows(graph, graph.nodes[-1]) is None


def test_places_that_no_unit_sees_together_share_a_walk() -> None:
    model = model_of(two_conv(), (1, 28, 28))
    walks = {layer: len(Layer(model, model.layer(layer)).columns) for layer in ("0", "3", "7")}
    assert walks == {"0": 5 * 5, "3": 14 * 14, "7": 28 * 28}


def test_every_kind_of_piece_has_its_forward_walk() -> None:
    """The Jacobian's columns, whatever the nodes on the way, are those of its rows."""
    model, x = model_of(Pieces(), (1, 8, 8), dtype=torch.float64), inputs(1).double()
    graph = model.folded
    forward = Pushforward(Tape(graph, x), graph.output)
    change = inputs(1, seed=9).double()
    jacobian = torch.func.jacrev(lambda x: graph.run(x)[0][0])(x)[:, 0]
    expected = (jacobian * change).flatten(1).sum(1)[None]
    torch.testing.assert_close(forward(change), expected)


def test_what_it_cannot_do_is_refused() -> None:
    smooth = model_of(nn.Sequential(nn.Linear(4, 3), nn.GELU(), nn.Linear(3, 2)), (4,))
    with pytest.raises(MethodNotApplicable, match="ReLU"):
        parse_method("insens").refuse(smooth)
    mixed = model_of(nn.Sequential(nn.Linear(4, 3), nn.GELU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), (4,))
    with pytest.raises(MethodNotApplicable, match="gelu at 1 "):
        parse_method("insens").refuse(mixed)
    later = model_of(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(1)), (4,))
    parse_method("insens").refuse(later)  # linear by pieces up to its layer
    with pytest.raises(InvalidParameter, match="those that are: 0"):
        parse_method({"name": "insens", "layer": "2"}).refuse(later)
    with pytest.raises(ValidationError, match="gradient is none"):
        explain(later, batch_of(inputs(1, shape=(4,))), name="insens", rates="gradient")
    with pytest.raises(InvalidParameter, match="no dataset"):
        explain(later, no_input(later, in_memory(torch.zeros(1, 4))), name="activation_rates", dataset="none")
    with pytest.raises(InvalidParameter, match="no items"):
        parse_method("activation_rates").explain(later, no_input(later, in_memory(torch.zeros(0, 4))))
