"""A text, and several inputs by name, on the command line: explained and verified by a service that computes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from service.app import create_app
from service.cli.input_files import NoSuchFiles, NotOneInput, one_input
from service.cli.main import app as cli
from service.settings import Settings
from tests.service.live import serving
from tests.service.working import WorkingQueue
from tests.several import NETS, model_of_inputs, rows_of
from tests.toys import language
from whence import Client
from workers.engine.model.model import Model

Run = Callable[..., Result]
LINE = "die Katze, sagte er"


@cache
def models() -> dict[str, Model]:
    make, specs = NETS["image and row"]
    several = model_of_inputs(make(), specs, rows_of(specs), digest="sha256:" + "5" * 64)
    return {"several": several, "language": language()}


@pytest.fixture
def url() -> Iterator[str]:
    with serving(create_app(Settings(log_level="CRITICAL"), WorkingQueue(models()))) as url:
        yield url


@pytest.fixture
def run(url: str) -> Run:
    return lambda *words: CliRunner().invoke(cli, [*map(str, words), "--url", url])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / "photo.png")
    np.save(tmp_path / "row.npy", draw.normal(size=5).astype(np.float32))
    return {"image": tmp_path / "photo.png", "row": tmp_path / "row.npy"}


def inputs(files: dict[str, Path]) -> list[str]:
    return [word for name, file in files.items() for word in ("--input", f"{name}={file}")]


def test_several_inputs_are_one_explanation_and_its_receipt_is_verified(
    url: str, run: Run, files: dict[str, Path]
) -> None:
    done = run("explain", *inputs(files), "-m", "several", "--method", "integrated_gradients", "--target", "1")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["arrays"].keys() >= {"attribution.image", "attribution.row"}
    folder = files["image"].parent
    with Client(url) as client:
        (folder / "receipt.json").write_bytes(client.explanation(told["id"]).receipt())
    same = run("verify", folder / "receipt.json", *inputs(files))
    assert same.exit_code == 0, same.output
    assert "the same to the last bit" in same.stdout
    np.save(files["row"], np.zeros(5, np.float32))
    other = run("verify", folder / "receipt.json", *inputs(files))
    assert other.exit_code == 1
    assert "is not the input of this receipt" in other.output


def test_the_client_sends_a_mapping_and_has_values_by_name(url: str, run: Run, files: dict[str, Path]) -> None:
    told = json.loads(run("explain", *inputs(files), "-m", "several", "--method", "lrp").stdout)
    with Client(url) as client:
        made = client.explain("several", {"row": np.load(files["row"]), "image": Image.open(files["image"])}, "lrp")
        assert client.explain("several", files, "lrp").id == told["id"]
        assert isinstance(made.values, dict)
        assert {name: one.shape for name, one in made.values.items()} == {"image": (3, 8, 8), "row": (5,)}


def test_several_inputs_become_a_picture_by_each_method(run: Run, files: dict[str, Path], tmp_path: Path) -> None:
    both = ["--method", "lrp", "--method", "occlusion"]
    done = run("explain", *inputs(files), "-m", "several", *both, "-o", tmp_path / "maps")
    assert done.exit_code == 0, done.output
    assert {file.name for file in (tmp_path / "maps").iterdir()} == {
        "input.lrp.png", "input.occlusion.png", "contact_sheet.png",
    }  # fmt: skip


def test_a_text_is_explained_as_it_is_and_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "line.txt").write_text(LINE)
    asked = ("explain", "-m", "language", "--method", "lrp")
    made = [run(*asked, *more) for more in (["-i", LINE], ["-i", f"input={LINE}"], [tmp_path / "line.txt"])]
    assert [one.exit_code for one in made] == [0, 0, 0], [one.output for one in made]
    assert len({json.loads(one.stdout)["id"] for one in made}) == 1
    assert [word["text"] for word in json.loads(made[0].stdout)["texts"]["input"]["words"]][:2] == ["die", "Katze"]


def test_what_is_missing_is_told_by_the_service(run: Run, files: dict[str, Path]) -> None:
    done = run("explain", "-i", f"image={files['image']}", "-m", "several")
    assert done.exit_code == 1
    assert "there is nothing for row" in done.output


@pytest.mark.parametrize("words", [[], ["a.png", "-i", "a text"], ["--job", "-i", "a text"]])
def test_inputs_come_one_way(run: Run, words: list[str]) -> None:
    assert run("explain", "-m", "language", *words).exit_code == 2


def test_values_of_input_are_files_texts_or_named(files: dict[str, Path], tmp_path: Path) -> None:
    assert one_input([str(files["row"])]) == files["row"]
    assert one_input(["a film, well made"]) == "a film, well made"
    assert one_input([f"x={files['row']}", "y=a = b"]) == {"x": files["row"], "y": "a = b"}
    odd = tmp_path / "a=b.npy"
    odd.write_bytes(b"")
    assert one_input([str(odd)]) == odd
    with pytest.raises(NoSuchFiles, match=r"there is no file absent\.png"):
        one_input(["x=absent.png"])
    with pytest.raises(NotOneInput, match="each has its name"):
        one_input(["x=1", "nameless"])
    with pytest.raises(NotOneInput, match="x came twice"):
        one_input(["x=a", "x=b"])
