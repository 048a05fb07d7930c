"""Whence in KServe's explainer slot: the manifest is what KServe's schema says, the command what KServe calls."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from service.cli.local.explainer import write_folder
from service.cli.local.up import CannotStart, Plan
from service.cli.main import app
from tests.tree import ROOT
from workers.models.card_file import read_card
from workers.models.source import parse_source

PLACE = ROOT / "deploy" / "kserve"
CRD = Path(os.environ.get("KSERVE_CRD", ROOT / "out" / "servers" / "inferenceservices.yaml"))
CARD = """
[model]
output = "value"

[input]
shape = [8]
"""


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PLACE / name).read_text())
    return found


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, which refuses what it does not name: Kubernetes would drop it without a word."""
    found = {name: closed(one) if isinstance(one, dict) else one for name, one in schema.items()}
    open_to_all = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_to_all:
        found["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not CRD.exists(), reason="there is no CRD of KServe; KSERVE_CRD names the file")
def test_the_inference_service_is_what_kserves_schema_says() -> None:
    crd = yaml.load(CRD.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (schema,) = (one["schema"]["openAPIV3Schema"] for one in crd["spec"]["versions"] if one["name"] == "v1beta1")
    schema["properties"]["metadata"]["x-kubernetes-preserve-unknown-fields"] = True
    service = read("inference-service.yaml")
    jsonschema.validate(service, closed(schema))
    service["spec"]["explainer"]["container"] = []
    with pytest.raises(jsonschema.ValidationError, match="container"):
        jsonschema.validate(service, closed(schema))


def test_the_card_that_it_mounts_is_a_card(tmp_path: Path) -> None:
    config = read("card.yaml")
    kubernetes_validate.validate(config, "1.34", strict=True)
    given = tmp_path / "card"
    given.mkdir()
    for name, text in config["data"].items():
        (given / name).write_text(text)
    service = read("inference-service.yaml")
    folder = write_folder(tmp_path / "m", service["metadata"]["name"], "income-predictor.team", "v2", False, given)
    card = read_card(folder / "card.toml", "card.toml")
    assert card.model.source == "open-inference:http://income-predictor.team/v2/models/income"
    assert card.taken.background == "background.csv"
    assert (folder / "background.csv").exists()
    volume = service["spec"]["explainer"]["volumes"][0]
    assert volume["configMap"]["name"] == config["metadata"]["name"]


def options() -> Iterator[str]:
    """What KServe adds to the arguments of an explainer's container."""
    yield from ("--model_name", "--predictor_host", "--http_port", "--workers")


def test_the_command_takes_what_kserve_adds() -> None:
    told = CliRunner().invoke(app, ["explainer", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert told.exit_code == 0
    assert all(option in told.output for option in options())
    (container,) = read("inference-service.yaml")["spec"]["explainer"]["containers"]
    assert all(arg in told.output for arg in container["args"] if arg.startswith("--"))
    assert container["name"] == "kserve-container"
    assert 'ENTRYPOINT ["whence", "explainer"]' in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("concurrency", ["0", "1", "100"])
@pytest.mark.parametrize("tls", ["True", "false"])
def test_what_kserve_adds_starts_as_many_workers_as_there_is_room_for(
    concurrency: str, tls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `containerConcurrency` may be 0, for no limit, or hundreds; its own servers take a value after the other."""
    plans: list[Plan] = []
    cards: list[str] = []

    def launch(plan: Plan, _: object) -> None:
        plans.append(plan)
        cards.append((plan.models / "m" / "card.toml").read_text())

    monkeypatch.setattr("service.cli.main.launch", launch)
    (tmp_path / "card.toml").write_text(CARD)
    added = ["--model_name", "m", "--predictor_host", "m.ns", "--http_port", "8080", "--workers", concurrency]
    given = ["explainer", "--card", str(tmp_path / "card.toml"), "--predictor_use_ssl", tls, *added]
    told = CliRunner().invoke(app, given)
    assert told.exit_code == 0, told.output
    assert 1 <= plans[0].workers <= max(1, min(int(concurrency), len(os.sched_getaffinity(0))))
    assert f"open-inference:http{'s' * (tls == 'True')}://m.ns/" in cards[0]


@pytest.mark.parametrize(
    ("host", "protocol", "tls", "source"),
    [
        ("m-predictor.ns", "v2", False, "open-inference:http://m-predictor.ns/v2/models/m"),
        ("m-predictor.ns:8080", "v1", False, "kserve:http://m-predictor.ns:8080/v1/models/m"),
        ("https://m-predictor.ns/", "v2", True, "open-inference:https://m-predictor.ns/v2/models/m"),
    ],
)
def test_the_source_is_the_predictor_that_kserve_names(
    host: str, protocol: Any, tls: bool, source: str, tmp_path: Path
) -> None:
    given = tmp_path / "card.toml"
    given.write_text(CARD)
    folder = write_folder(tmp_path / "m", "m", host, protocol, tls, given)
    found = tomllib.loads((folder / "card.toml").read_text())["model"]
    assert found == {"source": source, "output": "value"}
    assert parse_source(found["source"], "card.toml").remote


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m", None, "there is no card"),
        ("m", "[model", "cannot be read"),
        ("m", '[model]\nsource = "model.pt2"\n', "names a source; leave it out"),
        ("../m", CARD, "is no name of a model"),
    ],
)
def test_what_is_wrong_is_said(name: str, text: str | None, said: str, tmp_path: Path) -> None:
    given = tmp_path / "card.toml"
    if text is not None:
        given.write_text(text)
    with pytest.raises(CannotStart, match=said):
        write_folder(tmp_path / "m", name, "host", "v2", False, given)
