"""Labels tell which of a model's classes a dataset's are; once they are corrected, nothing stale is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.redis_server import RedisServer
from tests.service.seeds.asking import Answer, answered, tensor
from tests.service.whole import whole
from tests.toys import model_of, net
from tests.workers.datasets.dataset_files import png, zipped
from whence import Client
from workers.engine.model.model import Model

NAMED = {"cat": 0, "bee": 1, "ant": 2}  # in the order of the model's labels, which is not that of the folders
OTHER = "sha256:" + "1" * 64
MANY = {f"{name}/{i}.png": png(60 * at + 7 * i + 3) for name, at in NAMED.items() for i in range(6)}
NUMBERED = {f"{NAMED[place.split('/')[0]]}/{place.split('/')[1]}": data for place, data in MANY.items()}
METHODS: dict[str, tuple[dict[str, Any], Any]] = {
    "sets itself to them": ({"name": "temperature", "dataset": "SET"}, None),
    "holds one that does": ({"name": "at_temperature", "fitted": {"name": "temperature", "dataset": "SET"}}, 1),
    "begins with those of a class": (
        {"name": "activation_maximization", "dataset": "SET", "start": "mean", "steps": 2, "priors": []},
        2,
    ),
    "asks it of each item": (
        {
            "name": "collection",
            "dataset": "SET",
            "of": {"name": "at_temperature", "fitted": {"name": "temperature", "dataset": "SET"}},
        },
        1,
    ),
}


def upload(client: Client, files: dict[str, bytes]) -> str:
    found: str = client.http.post("/api/v1/datasets", content=zipped(files)).raise_for_status().json()["digest"]
    return found


def asked(client: Client, method: Any, target: Any, dataset: str) -> Answer:
    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(one) for key, one in value.items()}
        return dataset if value == "SET" else value

    given: dict[str, Any] = {}
    if method["name"] in ("at_temperature", "resampling"):
        given = {"input": tensor(np.ones((1, 8, 8)) / 3)}
    return answered(client, "toy", named(method), target, **given)


@pytest.mark.parametrize("name", METHODS)
def test_a_dataset_means_other_classes_once_labels_are_corrected(
    name: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A set whose folders are named by the numbers says what the other says by the corrected labels."""
    method, target = METHODS[name]
    plain, labelled = (model_of(net(), (1, 8, 8), image=True, labels=labels) for labels in ((), tuple(NAMED)))
    lagging = model_of(net(), (1, 8, 8), image=True, labels=tuple(NAMED))
    lagging.card = plain.card
    with whole({"toy": plain}, redis_server.url, tmp_path) as url, Client(url, patience=60) as client:
        stale = asked(client, method, target, upload(client, MANY))
        expected = asked(client, method, target, upload(client, NUMBERED))
    found = []
    for model in (labelled, lagging):  # a worker whose labels lag behind answers what it was asked
        with whole({"toy": model}, redis_server.url, tmp_path) as url, Client(url, patience=60) as client:
            found.append(asked(client, method, target, upload(client, MANY)))
        redis_server.client.flushall()
    assert found[0].told["id"] == found[1].told["id"] != stale.told["id"]
    for one in found:
        assert ordered(one) == pytest.approx(ordered(expected), rel=1e-5)
        assert ordered(one) != pytest.approx(ordered(stale), rel=1e-3)


def test_so_it_does_in_another_model_that_a_method_names(redis_server: RedisServer, tmp_path: Path) -> None:
    own = model_of(net(), (1, 8, 8), image=True, labels=tuple(NAMED))
    held = {"name": "at_temperature", "of": "gradient", "fitted": {"name": "temperature", "dataset": "SET"}}
    method = {"name": "resampling", "of": held, "models": ["other"]}

    def told(other: Model, files: dict[str, bytes]) -> Answer:
        with whole({"toy": own, "other": other}, redis_server.url, tmp_path) as url, Client(url, patience=60) as client:
            return asked(client, method, 1, upload(client, files))

    plain, labelled, lagging = (
        model_of(net(1), (1, 8, 8), image=True, labels=labels, digest=OTHER)
        for labels in ((), tuple(NAMED), tuple(NAMED))
    )
    lagging.card = plain.card
    stale, expected = told(plain, MANY), told(plain, NUMBERED)
    corrected = told(labelled, MANY)
    redis_server.client.flushall()
    found = [corrected, told(lagging, MANY)]
    assert found[0].told["id"] == found[1].told["id"] != stale.told["id"]
    for one in found:
        assert ordered(one) == pytest.approx(ordered(expected), rel=1e-5)
        assert ordered(one) != pytest.approx(ordered(stale), rel=1e-3)


def ordered(answer: Answer) -> list[float]:
    """Its numbers, of a collection what its items' maps sum to; the order of a set is that of its folders."""
    arrays = answer.arrays
    told = [arrays["observed"]] if "observed" in arrays else arrays.values()
    return sorted(float(value) for one in told for value in one.ravel())
