"""`whence models`: a line for each, all of one; what the service says of routes is said of commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.cli import main, models
from service.cli.asking import in_commands
from service.cli.local import launch
from whence import Client

CARD: dict[str, Any] = {
    "name": "digits",
    "state": "ready",
    "reason": None,
    "memory": 3 * 2**19,
    "digest": "sha256:" + "ab" * 32,
    "input": {"kind": "image", "shape": [1, 28, 28]},
    "outputs": [10],
    "labels": [str(number) for number in range(30)],
    "layers": [{"name": "conv[1]", "shape": [8, 26, 26]}],
    "methods": [
        {"name": "lrp", "supported": True, "reason": None},
        {"name": "cam", "supported": False, "reason": "it has [no] pooling"},
    ],
}
BROKEN = {"name": "broken", "state": "failed", "reason": "needs the package timm", "memory": 0}
runner = CliRunner()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A service with these two models; the requests that it got."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        if request.url.path == "/api/v1/models":
            return httpx.Response(200, json={"models": [BROKEN, CARD]})
        if "digits" in request.url.path:
            return httpx.Response(200, json=CARD)
        detail = "there is no such model; did you mean digits? GET /api/v1/models/digits lists its layers"
        return httpx.Response(404, json={"detail": detail, "code": "not_found"})

    def connect(url: str) -> Client:
        client = Client(url)
        client.http = httpx.Client(base_url=url, transport=httpx.MockTransport(answer))
        return client

    monkeypatch.setattr(models, "connect", connect)
    return seen


def test_each_model_is_a_line(service: list[str]) -> None:
    shown = runner.invoke(main.app, ["models"])
    heading, broken, digits = shown.stdout.rstrip().splitlines()
    assert heading.split() == list(models.COLUMNS)
    assert "failed: needs the package timm" in broken
    assert re.split(r"\s{2,}", digits.rstrip()) == [
        "digits", "ready", "abababababab", "image 1x28x28", "10", "1.5 MiB", "1 of 2"
    ]  # fmt: skip


def test_each_of_several_inputs_is_told() -> None:
    several = {"photo": {"kind": "image", "shape": [3, 8, 8]}, "words": {"kind": "text", "shape": ["*"]}}
    assert models._row({**CARD, "inputs": several})[3] == "image 3x8x8 + text *"


def test_one_model_is_shown_whole(service: list[str]) -> None:
    shown = runner.invoke(main.app, ["models", "show", "digits"])
    assert "conv[1] [8, 26, 26]" in shown.stdout
    assert "cam: it has [no] pooling" in shown.stdout
    assert "18, 19 ..." in shown.stdout


def test_a_name_that_is_wrong_is_told_in_commands(service: list[str]) -> None:
    shown = runner.invoke(main.app, ["models", "show", "digit"])
    assert shown.exit_code == 1
    assert "did you mean digits? whence models show digits lists its layers" in shown.stderr.replace("\n", " ")
    assert "/api/" not in shown.stderr


@pytest.mark.parametrize(("command", "does"), [("load", "digits is ready"), ("unload", "digits is unloaded")])
def test_a_model_is_loaded_and_unloaded(service: list[str], command: str, does: str) -> None:
    shown = runner.invoke(main.app, ["models", command, "digits"])
    assert (shown.exit_code, service) == (0, [f"POST /api/v1/models/digits/{command}"])
    assert does in shown.stderr


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("POST /api/v1/models/net.v2/unload", "whence models unload net.v2"),
        ("see GET /api/v1/models lists them", "see whence models lists them"),
        ("GET /api/v1/models/m@abc lists", "whence models show m@abc lists"),
        ("/docs and GET /api/v1/methods/{name} list", "whence methods list"),
        ("nothing of routes", "nothing of routes"),
    ],
)
def test_routes_are_commands(said: str, meant: str) -> None:
    assert in_commands(said) == meant
    command = re.search(r"whence models (\w+) \S", meant)
    if command and command[1] != "lists":
        assert runner.invoke(main.app, ["models", command[1], "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("words", "right"),
    [(["modls"], "models"), (["status", "--ulr", "x"], "--url"), (["methods", "lrpp"], "did you mean lrp?")],
)
def test_a_wrong_word_is_told_with_the_right_one(words: list[str], right: str) -> None:
    shown = runner.invoke(main.app, words)
    assert shown.exit_code == 2
    assert right in shown.stderr


def test_what_cannot_be_served_is_told_at_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {"resnet": "the source torchvision:resnet50 needs the package torchvision, which is not installed"}
    told: Callable[..., httpx.Response] = lambda *_, **__: httpx.Response(200, json={"failed": failed})  # noqa: E731
    monkeypatch.setattr(httpx, "get", told)
    launch.greet("http://127.0.0.1:8000")
    said = capsys.readouterr().err.strip().splitlines()
    assert said == [f"resnet cannot be served: {failed['resnet']}"]
