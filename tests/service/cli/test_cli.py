"""`whence` as a user meets it: clear sentences, right exit codes, thin over HTTP."""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from service.cli import console, main
from service.cli import explain as explain_command
from service.cli.contact_sheet import WIDTH
from whence import Client
from workers.contract import catalogue

PNG = b"\x89PNG\r\n\x1a\n"
ID = "ab" * 32
PLACE = f"/api/v1/explanations/{ID}"
ACCEPTED = httpx.Response(202, json={"status": "queued"}, headers={"Location": PLACE})
PICTURE = httpx.Response(200, content=PNG, headers={"Content-Type": "image/png"})
RUNNING = httpx.Response(
    200, json={"status": "running", "position": None, "progress": {"done": 3, "total": 10, "unit": "steps"}}
)

runner = CliRunner()


class Service:
    """A client whose requests get these answers, one after the other."""

    def __init__(self, *answers: httpx.Response | BaseException) -> None:
        self.left = list(answers)
        self.seen: list[httpx.Request] = []

    def connect(self, url: str = "http://here", patience: float = 60) -> Client:
        client = Client(url, patience=patience)
        client.http = httpx.Client(base_url=url, transport=httpx.MockTransport(self.reply))
        return client

    def reply(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.seen.append(request)
        answer = self.left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[httpx.Request]]:
    """Let the service give these answers; returns the requests it gets."""

    def serve(*answers: httpx.Response | BaseException) -> list[httpx.Request]:
        service = Service(*answers)
        for module in (main, explain_command):
            monkeypatch.setattr(module, "connect", service.connect)
        return service.seen

    return serve


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    path = tmp_path / "7.png"
    path.write_bytes(PNG)
    return path


def sent(request: httpx.Request) -> dict[str, Any]:
    """The JSON part of a form."""
    part = request.content.partition(b'name="request"\r\n\r\n')[2].partition(b"\r\n--")[0]
    return cast(dict[str, Any], json.loads(part))


def problem(status: int, **fields: Any) -> httpx.Response:
    return httpx.Response(status, json=fields, headers={"Content-Type": "application/problem+json"})


def test_help_names_every_command() -> None:
    shown = runner.invoke(main.app, ["--help"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in ("up", "export", "methods", "models", "explain", "status"))


def test_version() -> None:
    assert runner.invoke(main.app, ["--version"]).output == f"whence {version('whence')}\n"


def test_methods_lists_the_catalogue_without_a_server() -> None:
    shown = runner.invoke(main.app, ["methods"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in catalogue())


def test_an_unknown_method_is_an_error_that_names_those_there_are() -> None:
    shown = runner.invoke(main.app, ["methods", "magic"])
    assert shown.exit_code == 2
    assert "there is no such method; there are:" in shown.stderr


def test_explain_writes_what_the_file_name_asks_for(
    answer: Callable[..., list[httpx.Request]], digit: Path, tmp_path: Path
) -> None:
    seen = answer(httpx.Response(200, content=PNG, headers={"Content-Type": "image/png"}))
    to = tmp_path / "new" / "heat.png"
    asked = ["explain", str(digit), "-m", "digits", "--method", "lrp", "--target", "7", "-o", str(to)]
    assert runner.invoke(main.app, asked).exit_code == 0
    assert to.read_bytes() == PNG
    assert sent(seen[0]) == {"model": "digits", "method": "lrp", "target": "7"}
    assert seen[0].headers["Accept"] == "image/png"
    assert PNG in seen[0].content


def test_explain_without_a_file_prints_json(answer: Callable[..., list[httpx.Request]], digit: Path) -> None:
    result = {"id": ID, "status": "succeeded"}
    seen = answer(httpx.Response(200, json=result))
    shown = runner.invoke(main.app, ["explain", str(digit), "-m", "digits"])
    assert json.loads(shown.stdout) == result
    assert seen[0].headers["Accept"] == "application/json"


def test_explain_waits_for_slow_work_where_it_is_told(
    answer: Callable[..., list[httpx.Request]], digit: Path, tmp_path: Path
) -> None:
    seen = answer(ACCEPTED, RUNNING, PICTURE)
    to = tmp_path / "heat.png"
    assert runner.invoke(main.app, ["explain", str(digit), "-m", "digits", "-o", str(to)]).exit_code == 0
    assert to.read_bytes() == PNG
    assert seen[0].headers["Prefer"] == "respond-async"
    assert [request.url.path for request in seen[1:]] == [PLACE, PLACE]
    assert [request.url.params["wait"] for request in seen[1:]] == ["1", "1"]
    assert seen[2].headers["Accept"] == "image/png"


def test_an_interrupt_withdraws_the_work(answer: Callable[..., list[httpx.Request]], digit: Path) -> None:
    seen = answer(ACCEPTED, KeyboardInterrupt(), httpx.Response(202, json={"status": "cancelled"}))
    shown = runner.invoke(main.app, ["explain", str(digit), "-m", "digits"])
    assert shown.exit_code == 130
    assert (seen[-1].method, seen[-1].url.path) == ("DELETE", PLACE)
    assert "Traceback" not in shown.stderr


def test_progress_is_a_line_on_a_terminal_and_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        shown = Console(file=StringIO(), force_terminal=terminal, width=80, legacy_windows=False)
        monkeypatch.setattr(console, "err", shown)
        with console.progress() as tell:
            tell({"status": "queued", "position": 2})
            tell({"status": "queued", "position": 0})
            tell({"status": "running"})
            tell(RUNNING.json())
        text = cast(StringIO, shown.file).getvalue()
        assert ("3 of 10 steps" in text) == terminal
        assert bool(text) == terminal


def test_work_that_takes_too_long_is_left_where_it_can_be_found(
    answer: Callable[..., list[httpx.Request]], digit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 0.9)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    answer(ACCEPTED, RUNNING)
    shown = runner.invoke(main.app, ["explain", str(digit), "-m", "digits", "--patience", "1"])
    assert shown.exit_code == 1
    assert f"not finished in time; it goes on under the id {ID}" in shown.stderr.replace("\n", " ")


def test_failed_work_is_an_error(answer: Callable[..., list[httpx.Request]], digit: Path) -> None:
    answer(httpx.Response(200, json={"status": "failed", "error": {"code": "not_finite", "detail": "it holds NaN"}}))
    shown = runner.invoke(main.app, ["explain", str(digit), "-m", "digits"])
    assert shown.exit_code == 1
    assert shown.stderr == "error: it holds NaN (not_finite)\n"


def test_a_problem_is_told_in_its_own_words(answer: Callable[..., list[httpx.Request]], digit: Path) -> None:
    answer(problem(404, code="unknown_model", detail="no worker serves that model"))
    shown = runner.invoke(main.app, ["explain", str(digit), "-m", "nothing"])
    assert shown.exit_code == 1
    assert shown.stderr == "error: no worker serves that model (unknown_model)\n"


def test_an_answer_that_is_no_problem_document_is_told_by_its_status(
    answer: Callable[..., list[httpx.Request]],
) -> None:
    answer(httpx.Response(502, content=b"<html>"))
    shown = runner.invoke(main.app, ["models"])
    assert shown.exit_code == 1
    assert "answered 502 Bad Gateway" in shown.stderr


def test_no_service_is_said_with_what_to_do() -> None:
    shown = runner.invoke(main.app, ["models", "--url", "http://127.0.0.1:1"])
    assert shown.exit_code == 3
    assert "no Whence answers at http://127.0.0.1:1" in shown.stderr
    assert "whence up" in shown.stderr


def test_a_file_that_is_not_there_is_a_usage_error() -> None:
    assert runner.invoke(main.app, ["explain", "/no/such/file.png", "-m", "digits"]).exit_code == 2


def test_export_says_so_where_torch_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    shown = runner.invoke(main.app, ["export", "torchvision:resnet18", "--out", "models/resnet18"])
    assert shown.exit_code == 1
    assert "needs torch" in shown.stderr
    assert "pip install 'whence[worker]'" in shown.stderr


def test_export_hands_over_every_argument_and_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    shown = runner.invoke(main.app, ["export", "timm:vit", "--out", "models/vit", "--shape", "3,8,8", "--help"])
    assert shown.exit_code == 3
    assert ran[0][1:] == ["-m", "workers.export", "timm:vit", "--out", "models/vit", "--shape", "3,8,8", "--help"]


def asked(request: httpx.Request) -> str:
    return str(sent(request)["method"])


def real_png() -> httpx.Response:
    out = BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(out, "PNG")
    return httpx.Response(200, content=out.getvalue(), headers={"Content-Type": "image/png", "Content-Location": PLACE})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/3.png", "a/4.npy", "b/3.png", "b/notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(PNG)
    return tmp_path / "in"


def test_a_folder_by_two_methods_becomes_a_folder_with_a_contact_sheet(
    answer: Callable[..., list[httpx.Request]], folder: Path, tmp_path: Path
) -> None:
    seen = answer(*(real_png() for _ in range(6)))
    to = tmp_path / "maps"
    shown = runner.invoke(
        main.app, ["explain", str(folder), "-m", "digits", "--method", "lrp", "--method", "cam", "-o", str(to)]
    )
    assert shown.exit_code == 0
    assert [asked(request) for request in seen] == ["lrp", "cam"] * 3
    assert sorted(file.name for file in to.iterdir()) == [
        "a-3.cam.png", "a-3.lrp.png", "a-4.cam.png", "a-4.lrp.png", "b-3.cam.png", "b-3.lrp.png", "contact_sheet.png",
    ]  # fmt: skip
    with Image.open(to / "contact_sheet.png") as sheet:
        assert sheet.width > 2 * WIDTH
        assert sheet.height > 3 * 30 * WIDTH // 40


def test_globs_are_matched_where_the_shell_did_not(
    answer: Callable[..., list[httpx.Request]], folder: Path, tmp_path: Path
) -> None:
    seen = answer(real_png(), real_png())
    shown = runner.invoke(main.app, ["explain", f"{folder}/**/*.png", "-m", "digits", "-o", str(tmp_path / "maps")])
    assert shown.exit_code == 0
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain", "nothing*.png", "-m", "digits"], "no file, folder or match for nothing*.png"),
        (["explain", "{in}/b/empty", "-m", "digits"], "holds no image and no tensor"),
        (["explain", "{in}", "-m", "digits", "-o", "heat.png"], "3 explanations do not fit into heat.png"),
        (
            ["explain", "{in}", "-m", "d", "--method", "lrp", "--method", "cam", "--params", "{}"],
            "--params are those of a",
        ),
        (["explain", "{in}", "-m", "d", "--method", "lrp", "--params", "steps=5"], "--params is a JSON object"),
        (["explain", "{in}", "-m", "d", "--params", '{"steps": 5}'], "--params are those of a method"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_that_names_it(folder: Path, arguments: list[str], said: str) -> None:
    (folder / "b" / "empty").mkdir()
    shown = runner.invoke(main.app, [one.replace("{in}", str(folder)) for one in arguments])
    assert shown.exit_code == 2
    assert said in shown.stderr.replace("\n", " ")


def test_json_has_a_line_for_each_and_what_failed_does_not_stop_the_rest(
    answer: Callable[..., list[httpx.Request]], folder: Path, tmp_path: Path
) -> None:
    answer(real_png(), problem(422, code="invalid_input", detail="no image"), real_png())
    to = tmp_path / "maps"
    shown = runner.invoke(main.app, ["explain", str(folder), "-m", "digits", "-o", str(to), "--json"])
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert shown.exit_code == 1
    assert [line.get("id") for line in lines] == [ID, None, ID]
    assert lines[1]["error"] == "no image (invalid_input)"
    assert lines[0]["written"] == str(to / "a-3.png")
    assert f"error: {folder}/a/4.npy: no image (invalid_input)" in shown.stderr.replace("\n", "")


def test_without_an_output_several_are_lines_of_json(answer: Callable[..., list[httpx.Request]], folder: Path) -> None:
    answer(*(httpx.Response(200, json={"id": ID, "status": "succeeded", "n": n}) for n in range(3)))
    shown = runner.invoke(main.app, ["explain", str(folder), "-m", "digits"])
    assert [json.loads(line)["n"] for line in shown.stdout.splitlines()] == [0, 1, 2]


def test_all_are_asked_for_before_the_first_is_waited_for(
    answer: Callable[..., list[httpx.Request]], folder: Path
) -> None:
    done = httpx.Response(200, json={"status": "succeeded"})
    seen = answer(ACCEPTED, ACCEPTED, ACCEPTED, done, done, done)
    assert runner.invoke(main.app, ["explain", str(folder), "-m", "digits"]).exit_code == 0
    assert [request.method for request in seen[:4]] == ["POST", "POST", "POST", "GET"]


def test_an_interrupt_withdraws_all_that_is_on_its_way(
    answer: Callable[..., list[httpx.Request]], folder: Path
) -> None:
    gone = httpx.Response(202, json={"status": "cancelled"})
    seen = answer(ACCEPTED, ACCEPTED, ACCEPTED, KeyboardInterrupt(), gone, gone, gone)
    assert runner.invoke(main.app, ["explain", str(folder), "-m", "digits"]).exit_code == 130
    assert [request.method for request in seen[-3:]] == ["DELETE"] * 3


def test_a_full_service_is_asked_again_when_it_says(
    answer: Callable[..., list[httpx.Request]], digit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    full = httpx.Response(503, json={"code": "queue_full", "detail": "no room"}, headers={"Retry-After": "7"})
    answer(full, httpx.Response(200, json={"status": "succeeded"}))
    assert runner.invoke(main.app, ["explain", str(digit), "-m", "digits"]).exit_code == 0
    assert slept == [7]
    answer(httpx.Response(503, json=full.json(), headers={"Retry-After": "700"}))
    shown = runner.invoke(main.app, ["explain", str(digit), "-m", "digits", "--patience", "60"])
    assert shown.exit_code == 1
    assert "no room (queue_full)" in shown.stderr
