"""A composite's table at nodes without weights of their own, what "half" counts, and what is exact in LRP-0."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.toys import batch_of, model_of, net
from tests.workers.methods.gradient.gradient_runs import attribution, explain
from workers.engine.model.model import Model
from workers.methods.catalogue import parse_method


def chain(convolutions: int, dense: int = 3, side: int = 4) -> Model:
    """Convolutions of one channel, then linear layers, each with a ReLU."""
    layers: list[nn.Module] = [m for _ in range(convolutions) for m in (nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())]
    layers += [nn.Flatten(), *(m for _ in range(dense) for m in (nn.Linear(side**2, side**2), nn.ReLU()))]
    return model_of(nn.Sequential(*layers), (1, side, side), low=0.0, high=1.0)


def rules_of(model: Model, composite: object = "composite", **fields: object) -> dict[str, str]:
    method: Any = parse_method({"name": "lrp", "composite": composite, **fields})
    return model.rules_by_layer(method.table, method.choices)


def weighted(model: Model, composite: object = "composite") -> list[str]:
    kinds = ("linear", "conv2d", "conv1d")
    ops = {node.layer: node.op for node in model.folded.nodes}
    return [rule for layer, rule in rules_of(model, composite).items() if ops[layer] in kinds]


@pytest.mark.parametrize(
    ("convolutions", "gammas", "epsilons"),
    [(1, 0, 0), (2, 0, 1), (3, 1, 1), (4, 1, 2), (5, 2, 2), (8, 3, 4), (13, 6, 6), (16, 7, 8)],
)
def test_the_preset_of_the_book(convolutions: int, gammas: int, epsilons: int) -> None:
    """S4 13.2.2: on VGG-16 (13 convolutions) the box, gamma in the first three blocks, epsilon in two, LRP-0 above."""
    expected = ["z_box", *["gamma"] * gammas, *["epsilon"] * epsilons, *["zero"] * 3]
    assert weighted(chain(convolutions)) == expected


class Residual(nn.Module):
    """Blocks of two convolutions beside a shortcut of one, and a gate made by two more."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.one, self.two, self.short = (
            nn.ModuleList(nn.Conv2d(2, 2, 3, padding=1) for _ in range(blocks)) for _ in range(3)
        )
        self.squeeze, self.excite = (nn.ModuleList(nn.Conv2d(2, 2, 1) for _ in range(blocks)) for _ in range(2))
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for one, two, short, squeeze, excite in zip(
            self.one, self.two, self.short, self.squeeze, self.excite, strict=True
        ):
            y = two(torch.relu(one(x)))
            gate = torch.sigmoid(excite(torch.relu(squeeze(y.mean((2, 3), keepdim=True)))))
            x = torch.relu(y * gate + short(x))
        output: Tensor = self.fc(x.mean((2, 3)))
        return output


@pytest.mark.parametrize(("blocks", "lower"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_halves_are_counted_along_the_way_of_relevance(blocks: int, lower: int) -> None:
    """Depth is 1 + 2 blocks: a shortcut lies beside its block's first convolution, and what makes a gate adds none."""
    rules = rules_of(model_of(Residual(blocks), (1, 4, 4), low=0.0, high=1.0))
    for k in range(blocks):
        lies = "gamma" if k < lower else "epsilon"
        assert rules[f"one.{k}"] == rules[f"short.{k}"] == lies
    assert rules["two.0"] == ("gamma" if blocks + 1 >= 3 else "epsilon")


def test_linear_layers_have_halves_where_an_entry_asks_for_them() -> None:
    table = [{"ops": "linear", "where": "lower_half", "rule": "gamma"}, {"rule": "epsilon"}]
    assert weighted(chain(2, 5), table) == ["epsilon"] * 2 + ["gamma"] * 3 + ["epsilon"] * 2
    plain = [{"where": "lower_half", "rule": "gamma"}, {"where": "upper_half", "rule": "zero"}]
    assert weighted(chain(3, 2), plain) == ["gamma", "gamma", "zero", "zero", "zero"]


class Averaged(nn.Module):
    """Pairs averaged, then weighed."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.fc = nn.AvgPool1d(2), nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.fc(self.pool(x).flatten(1))
        return output


@pytest.mark.parametrize("value", [1e-3, 1e-5, 1e-6, 1e-12])
def test_zero_is_unstabilised_wherever_relevance_is_shared(value: float) -> None:
    torch.manual_seed(0)
    model = model_of(Averaged(), (1, 4), dtype=torch.float64)
    result = explain(model, batch_of(torch.full((1, 1, 4), value).double()), name="lrp", composite="zero")
    assert result.checks[0][0].gap < 1e-12
    rules = result.info[0]["rules"]
    assert rules["pool"] == rules["fc"] == "zero"
    assert result.info[0]["layers"][0]["layer"] == "fc"


class Through(nn.Module):
    """One node of a class of operation, then weights."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        held = {"normalisation": nn.GroupNorm(2, 4, eps=0), "average_pooling": nn.AdaptiveAvgPool1d(2)}
        self.held = held.get(kind, nn.Identity())
        self.fc = nn.LazyLinear(2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        match self.kind:
            case "sum":
                y = x + x.flip(1) * 0.5
            case "product":
                y = torch.bmm(torch.softmax(x @ x.transpose(1, 2), -1), x)
            case _:
                y = self.held(x)
        output: Tensor = self.fc(y.flatten(1))
        return output


def small(kind: str, value: float) -> tuple[Model, Tensor]:
    torch.manual_seed(0)
    module = Through(kind)
    x = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        module(x)
    return model_of(module, (4, 4), dtype=torch.float64), x.double() * value


@pytest.mark.parametrize("value", [1.0, 1e-6])
@pytest.mark.parametrize("kind", ["sum", "normalisation", "average_pooling", "product"])
def test_the_tables_epsilon_holds_at_every_class_of_operation(kind: str, value: float) -> None:
    """zero loses nothing; an entry for the class alone loses as its epsilon says, and `layers` tells where."""
    model, x = small(kind, value)
    exact = explain(model, batch_of(x, 0), name="lrp", composite="zero")
    assert all(check.gap < 1e-9 for (check,) in exact.checks)
    size = 1.0 if kind == "normalisation" else value
    table = [{"ops": kind, "rule": "epsilon", "epsilon": 10 * size}, {"rule": "zero"}]
    lossy = explain(model, batch_of(x, 0), name="lrp", composite=table)
    assert any(check.gap > 0.1 for (check,) in lossy.checks)
    told = {entry["layer"]: entry for entry in lossy.info[0]["layers"]}
    assert len(told) == 2
    assert sum(e["given"] - e["handed"] for e in told.values()) == pytest.approx(
        lossy.checks[0][0].expected - lossy.checks[0][0].observed
    )


def test_a_rectifier_net_agrees_with_plain_lrp_0() -> None:
    """LeNet-5's kind, in float64, against input times gradient, which LRP-0 is there (S4 ch. 10, prop. 3)."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(1, 6, 5, padding=2, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5, bias=False),
        nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * 4, 20, bias=False), nn.ReLU(),
        nn.Linear(20, 3, bias=False),
    ]  # fmt: skip
    model = model_of(nn.Sequential(*layers), (1, 16, 16), dtype=torch.float64)
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1e-4
    x[:, :, :8] = 0  # where nothing is seen nothing is shared
    found = attribution(model, batch_of(x, 1), name="lrp", composite="zero")
    product = attribution(model, batch_of(x, 1), name="input_times_gradient")
    assert (found - product).abs().max() < 1e-12 * product.abs().max()


def test_an_epsilon_of_nothing_is_lrp_0() -> None:
    model = model_of(net(bias=False, norm=False), (1, 8, 8), dtype=torch.float64)
    x = torch.zeros(2, 1, 8, 8, dtype=torch.float64)
    x[1, 0, 2:5, 3:6] = 1
    found = attribution(model, batch_of(x, 0), name="lrp", composite=[{"rule": "epsilon", "epsilon": 0}])
    assert found.isfinite().all()
    torch.testing.assert_close(found, attribution(model, batch_of(x, 0), name="lrp", composite="zero"))


class Dying(nn.Module):
    """Averages of rectified values, most of which are zero, a sum, and maxima."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool, self.fc = nn.Conv2d(1, 3, 3, bias=False), nn.AvgPool2d(2), nn.Linear(12, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x) - 1.5)
        output: Tensor = self.fc((self.pool(y) + self.pool(y.flip(-1))).flatten(1))
        return output


@pytest.mark.parametrize("rule", ["flat", "w_square"])
def test_flat_everywhere_loses_nothing_at_averages_and_sums(rule: str) -> None:
    torch.manual_seed(0)
    module = Dying()
    model = model_of(module, (1, 6, 6), dtype=torch.float64)
    x = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(1)).double()
    table = [{"layers": "fc", "rule": "zero"}, {"rule": rule, "epsilon": 0}]
    exact = explain(model, batch_of(x, 0), name="lrp", composite=table)
    assert all(check.gap < 1e-9 for (check,) in exact.checks)
    assert exact.info[0]["rules"]["pool"] == exact.info[0]["rules"]["add"] == rule
    by_value = [{"ops": "average_pooling", "rule": "zero"}, *table]
    lost = explain(model, batch_of(x, 0), name="lrp", composite=by_value)
    for (check,), row in zip(lost.checks, lost.info, strict=True):
        missed = sum(e["given"] - e["handed"] for e in row["layers"])
        assert missed == pytest.approx(check.expected - check.observed, abs=1e-4)
    assert "pool" in {entry["layer"].partition("@")[0] for row in lost.info for entry in row["layers"]}


def test_pools_are_reached_by_class_and_by_name_and_a_pattern_leaves_maxima_to_pooling() -> None:
    model = model_of(net(), (1, 8, 8))
    assert rules_of(model, [{"rule": "flat"}])["pool"] == "gradient"
    assert rules_of(model, [{"layers": "*", "rule": "flat"}])["pool"] == "gradient"
    assert rules_of(model, [{"ops": "max_pooling", "rule": "flat"}, {"rule": "zero"}])["pool"] == "flat"
    assert rules_of(model, [{"layers": "pool", "rule": "epsilon"}, {"rule": "zero"}])["pool"] == "proportional"
    assert rules_of(model, "epsilon", pooling="proportional")["pool"] == "proportional"
    summed = rules_of(model, [{"layers": "add*", "rule": "flat"}, {"rule": "zero"}])
    assert summed["add"] == "flat"
    assert summed["fc"] == "zero"
