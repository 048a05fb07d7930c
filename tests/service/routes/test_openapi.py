"""What the API says of itself is true: requests made from its schema, and near to it, are answered as it tells."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import ValidationError

from service.app import create_app
from service.settings import Settings
from tests.service.fake_repository import DIGITS, TABLE
from tests.service.fakes import FakeQueue
from workers.contract import catalogue, parse_method

FEW = ("activation_rates", "gradient", "integrated_gradients", "lrp", "smooth_grad")
FILES = ("application/gzip", "application/vnd.safetensors", "application/zip")
FILES_OF_OURS = ("application/x-npy", "application/x-npz", "application/x-tar")
# No schema can say which models there are, nor what shape each of them takes.
REFUSED = [400, 403, 404, 406, 409, 413, 415, 422]
CHECKS = {
    "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]},
    "negative_data_rejection": {"expected-statuses": [*REFUSED, 405]},
}


class Immortal(FakeQueue):
    """It outlives the client, which starts and ends the app with each request; its models are there with each."""

    async def __aenter__(self) -> Immortal:
        self.served, self.told = {"digits": DIGITS, "table": TABLE}, []
        return self

    async def __aexit__(self, *error: object) -> None:
        pass


app = create_app(Settings(pixel_limit=10_000, protocol_wait=0.1, log_level="CRITICAL"), Immortal())
DOCUMENT: dict[str, Any] = app.openapi()


def with_few_methods(document: dict[str, Any]) -> dict[str, Any]:
    """The document with some of the methods, as all of them take a minute to generate from."""
    fewer = deepcopy(document)
    one = fewer["components"]["schemas"]["MethodObject"]
    one["discriminator"]["mapping"] = {name: one["discriminator"]["mapping"][name] for name in FEW}
    one["oneOf"] = [{"$ref": ref} for ref in one["discriminator"]["mapping"].values()]
    return fewer


@schemathesis.serializer(*FILES, *FILES_OF_OURS)
def as_they_are(_: object, value: bytes) -> bytes:
    return value


app.openapi_schema = with_few_methods(DOCUMENT)
schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=schemathesis.Config.from_dict({"checks": CHECKS}))


@schema.parametrize()
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_answers_are_those_declared(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()


@pytest.mark.parametrize("name", catalogue())
def test_a_method_takes_what_its_schema_takes(name: str) -> None:
    """The defaults as they are told back, and no parameter that the schema does not know."""
    schemas = DOCUMENT["components"]["schemas"]
    reference = schemas["MethodObject"]["discriminator"]["mapping"][name]
    valid = jsonschema_rs.validator_for({"$ref": reference, "components": {"schemas": schemas}}).is_valid
    try:
        told = parse_method(name).to_json()
    except ValidationError:  # it has a parameter without a default
        told = {"name": name}
        assert not valid(told)
    else:
        assert valid(told)
    assert not valid({**told, "made_up": 1})
    assert not valid({**told, "name": "made_up"})


def test_every_example_fits_its_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    validators: dict[str, Any] = {}  # to build one takes longer than a hundred answers of it
    checked = 0
    for verbs in DOCUMENT["paths"].values():
        for operation in verbs.values():
            contents = [a.get("content", {}) for a in operation["responses"].values()]
            contents.append(operation.get("requestBody", {}).get("content", {}))
            for media, about in (item for content in contents for item in content.items()):
                values = [one["value"] for one in about.get("examples", {}).values()]
                values += [about["example"]] if "example" in about else []
                assert values or "json" not in media, operation["summary"]
                for value in values:
                    key = json.dumps(about["schema"])
                    if key not in validators:
                        whole = {**about["schema"], "components": {"schemas": schemas}}
                        validators[key] = jsonschema_rs.validator_for(whole)
                    validators[key].validate(value)
                    checked += 1
    assert checked > 100
