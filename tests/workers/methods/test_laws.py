"""The laws that every method of the catalogue obeys: a new file is held to them without a line here."""

from __future__ import annotations

import hashlib
import json
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from tests import several
from tests.resources import in_memory, no_input, with_series
from tests.toys import batch_of, inputs, model_of, net
from tests.tree import ROOT
from workers.engine.model.model import Model
from workers.explanation.result import Row
from workers.explanation.target import ClassTarget
from workers.jobs.job import Job, canonical_json
from workers.methods.catalogue import catalogue, parse_method
from workers.runtime.execute.model_support import support

NAMES = list(catalogue())
IDS = json.loads((ROOT / "tests" / "ids.json").read_text())
RTOL = 1e-4
SERIES = np.random.default_rng(0).normal(size=(16, 8, 2))  # of each item, for every step of a recurrent layer


class Pooled(nn.Module):
    """The convolutions of a Net, averaged over all places: what some methods are made for."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = net(), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.fc(self.body.act(self.body.bn1(self.body.conv1(x))).mean((2, 3)))
        return output


class Tokens(nn.Module):
    """The mean of what six ids are embedded as."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.hidden, self.fc = nn.Embedding(20, 5), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.fc(torch.relu(self.hidden(self.embedding(ids))).mean(1))
        return output


class Rows(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.fc = nn.LSTM(8, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.fc(self.lstm(x[:, 0])[0][:, -1])
        return output


@cache
def toys() -> list[Model]:
    plain = [model_of(module, (1, 8, 8), image=True) for module in (net(), Pooled())]
    ids = {"input": torch.ones(2, 6, dtype=torch.int64)}
    tokens = several.model_of_inputs(Tokens(), {"input": several.IDS}, ids, torch.float32)
    evidence, rows = model_of(net(), (1, 8, 8), image=True, output="evidence"), model_of(Rows(), (1, 8, 8), image=True)
    pictures = {"left": torch.ones(2, 1, 8, 8), "right": torch.ones(2, 1, 8, 8)}
    planes = several.LIKENESS
    pair = several.model_of_inputs(several.Likeness(), planes, pictures, torch.float32, output="value")
    return [*plain, evidence, tokens, rows, pair]


def taken(model: Model, x: torch.Tensor) -> torch.Tensor:
    """What the toy is given of an image: of one of tokens, ids made of its first values; of a pair, its mirror, too."""
    if "left" in model.card.inputs:
        return model.join({"left": x, "right": x.flip(3)})
    ids = (x.flatten(1)[:, :6].abs() * 7).floor() % 20
    return model.join({"input": ids}) if model.card.input.parts else x


@pytest.fixture
def model(name: str) -> Model:
    """The first toy that the method does not refuse."""
    return next(toy for toy in toys() if support(toy, name).supported)


def explained(model: Model, name: str, x: torch.Tensor, seeds: list[int]) -> list[Row]:
    more = {"concept": inputs(30, seed=6), "random": inputs(60, seed=7)}
    resources = in_memory(inputs(16, seed=5), np.arange(16) % 3, inputs(16, seed=8) > 0, **more)
    batch = no_input(model, with_series(resources, SERIES))
    if takes_input(name):
        batch = batch_of(taken(model, x), seeds=seeds, resources=resources)
    if not takes_input(name) and catalogue()[name].takes_target:
        batch.targets = [ClassTarget(index=1)]
    return parse_method(name).explain(model, batch).rows()


def takes_input(name: str) -> bool:
    return catalogue()[name].takes_input


def assert_equal(left: Row, right: Row) -> None:
    assert left.arrays.keys() == right.arrays.keys()
    for key, array in left.arrays.items():
        np.testing.assert_allclose(array, right.arrays[key], rtol=RTOL, atol=1e-5 * (np.abs(array).max() + 1e-12))


@pytest.mark.parametrize("name", NAMES)
def test_a_method_is_a_file_of_its_name(name: str) -> None:
    module = catalogue()[name].__module__
    assert module.startswith("workers.methods.")
    assert module.endswith(f".{catalogue()[name].family}.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    method = catalogue()[name]
    assert method.__doc__
    assert any(mark in method.__doc__ for mark in ("S0", "S1", "S2", "S3", "S4", "Source:"))
    assert method.citation
    assert method.question.endswith("?")
    for field, info in method.model_fields.items():
        assert info.description or field in ("name", "seed"), f"{name}.{field} has no description"


@pytest.mark.parametrize("name", NAMES)
def test_it_round_trips_through_json(name: str) -> None:
    method = parse_method(name)
    again = parse_method(json.loads(json.dumps(method.to_json())))
    assert again == method
    assert hash(again) == hash(method)


@pytest.mark.parametrize("name", NAMES)
def test_its_id_stays_unless_its_revision_rises(name: str) -> None:
    """The ids of results in every cache out there: update ids.json only together with the method's `revision`."""
    job = Job(model="sha256:m", input="sha256:i", target=ClassTarget(index=1), method=parse_method(name))
    assert job.id == hashlib.sha256(canonical_json(job.canonical())).hexdigest()
    assert IDS.get(name) == job.id


@pytest.mark.parametrize("name", NAMES)
def test_default_parameters_give_the_declared_kind_finite_and_of_the_inputs_shape(model: Model, name: str) -> None:
    rows = explained(model, name, inputs(2), [0, 0])
    assert len(rows) == (2 if takes_input(name) else 1)
    for row in rows:
        assert row.kind == catalogue()[name].kind
        assert all(np.isfinite(array).all() for array in row.arrays.values())
        assert json.loads(json.dumps(row.info)) == row.info
        if row.kind == "attribution":
            assert row.arrays["attribution"].shape == model.card.input.shape


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_numbers(model: Model, name: str) -> None:
    first, second = (explained(model, name, inputs(1), [7])[0] for _ in range(2))
    for key, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[key])


@pytest.mark.parametrize("name", [name for name in NAMES if takes_input(name)])
def test_in_a_batch_as_alone(model: Model, name: str) -> None:
    """Else batching together with caching would be unsound."""
    x, seeds = inputs(3), [3, 1, 2]
    together = explained(model, name, x, seeds)
    for i in range(3):
        assert_equal(explained(model, name, x[i : i + 1], seeds[i : i + 1])[0], together[i])


@pytest.mark.parametrize("name", NAMES)
def test_the_model_and_the_input_are_untouched(model: Model, name: str) -> None:
    x = inputs(2)
    before, output = x.clone(), model.forward(taken(model, x))
    explained(model, name, x, [0, 0])
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert torch.equal(model.forward(taken(model, x)), output)
    constants = [a for node in model.graph.nodes for a in node.args if isinstance(a, torch.Tensor)]
    assert constants
    assert all(c.grad is None and not c.requires_grad for c in constants)
