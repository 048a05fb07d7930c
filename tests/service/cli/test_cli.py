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
from io import StringIO
from pathlib import Path
from typing import cast

import httpx
import pytest
from rich.console import Console

from service.cli import console, main
from tests.service.cli.answers import ACCEPTED, ID, PLACE, PNG, problem, runner, sent
from workers.contract import catalogue

PICTURE = httpx.Response(200, content=PNG, headers={"Content-Type": "image/png"})
RUNNING = httpx.Response(
    200, json={"status": "running", "position": None, "progress": {"done": 3, "total": 10, "unit": "steps"}}
)


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
