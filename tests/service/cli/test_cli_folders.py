"""whence explain of folders, globs and several methods."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from service.cli import main
from service.cli.contact_sheet import WIDTH
from service.cli.input_files import labels
from tests.service.cli.answers import ACCEPTED, ID, PLACE, PNG, problem, runner, sent
from tests.small_disk import filled, small_disk


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
        (["explain", "nothing*.png", "-m", "digits"], "no file, folder or match for nothing*.png "),
        (["explain", "le chat dort", "-m", "language"], "le chat dort; a text is given as --input 'le chat dort'"),
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


def test_no_file_has_the_name_of_another(tmp_path: Path) -> None:
    paths = [tmp_path / path for path in ("a/b-c.png", "a-b/c.png", "b-c.png", "c.npy", "c.png")]
    assert labels(paths) == ["a-b-c.png", "a-b-c-2.png", "b-c.png", "c.npy", "c.png"]
    assert labels(paths[:3]) == ["a-b-c", "a-b-c-2", "b-c"]


def test_a_disk_that_is_full_is_told_in_a_sentence(answer: Callable[..., list[httpx.Request]], tmp_path: Path) -> None:
    (tmp_path / "3.png").write_bytes(PNG)
    with small_disk(tmp_path / "disk", "64k") as disk, filled(disk):
        answer(real_png())
        to = disk / "heat.png"
        shown = runner.invoke(main.app, ["explain", str(tmp_path / "3.png"), "-m", "digits", "-o", str(to)])
        assert shown.exit_code == 1
        assert shown.stderr == f"error: {to}: there is no room left on its disk\n"
        assert not to.exists()


def test_a_place_that_cannot_be_written_is_told(answer: Callable[..., list[httpx.Request]], tmp_path: Path) -> None:
    (tmp_path / "3.png").write_bytes(PNG)
    answer(real_png())
    to = tmp_path / "3.png" / "heat.png"
    shown = runner.invoke(main.app, ["explain", str(tmp_path / "3.png"), "-m", "digits", "-o", str(to)])
    assert (shown.exit_code, shown.stderr) == (1, f"error: {tmp_path / '3.png'}: File exists\n")
