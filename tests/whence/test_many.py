"""Many inputs in one job, from the client and the command line: folders, tables and stacks."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from service.cli.main import app as cli
from tests.redis_server import RedisServer
from tests.service.whole import whole
from tests.toys import inputs, model_of, net
from tests.whence.test_client import png_of
from whence import AsyncClient, Client, Collection, Refused
from whence.datasets import name_of, upload_of
from whence.tables import Columns, read_table

COUNT = 40


@pytest.fixture
def url(redis_server: RedisServer, tmp_path: Path) -> Iterator[str]:
    with whole({"toy": model_of(net(), (1, 8, 8), image=True)}, redis_server.url, tmp_path / "datasets") as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for at in range(COUNT):
        path = tmp_path / "in" / ("cats" if at % 2 else "dogs") / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_of(at * 6))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return tmp_path / "in"


def test_a_stack_is_explained_in_one_job(url: str, tmp_path: Path) -> None:
    stack = inputs(COUNT, seed=4).numpy()
    with Client(url) as client:
        made = client.explain_dataset("toy", stack, "integrated_gradients", target=1, steps=8)
        assert isinstance(made, Collection)
        assert (len(made), made.info["explained"]) == (COUNT, COUNT)
        alone = client.explain("toy", stack[7], "integrated_gradients", target=1, steps=8)
        assert made[7].id == alone.id
        np.testing.assert_array_equal(made.values[7], alone.values)
        np.testing.assert_allclose(made.means["1"], made.values.astype(np.float64).mean(0), rtol=1e-5, atol=1e-7)
        gaps = [one["checks"][0]["gap"] for one in made.items(worst=True)]
        assert gaps == sorted(gaps, reverse=True)
        assert made.sheet().startswith(b"\x89PNG")
        assert made.picture().startswith(b"\x89PNG")
        assert isinstance(client.explanation(made.id), Collection)
        np.save(tmp_path / "stack.npy", stack)
        again = client.explain_dataset("toy", tmp_path / "stack.npy", "integrated_gradients", 1, items=(5, 9), steps=8)
        assert [one["index"] for one in again.items()] == [5, 6, 7, 8]
        again.save(tmp_path / "all.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as file:
            assert sum(name.endswith(".npy") for name in file.namelist()) == 4
        with pytest.raises(IndexError):
            again[4]


async def test_the_async_client_does_the_same(url: str, tmp_path: Path) -> None:
    stack = inputs(COUNT, seed=4).numpy()
    async with AsyncClient(url) as client:
        made = await client.explain_dataset("toy", stack, "gradient", progress=False)
        assert made.info["explained"] == COUNT
        await client.download(made.document["links"]["archive"], tmp_path / "all.zip")
        assert zipfile.is_zipfile(tmp_path / "all.zip")
        with pytest.raises(Refused):
            await client.explain_dataset("toy", "nothing", "gradient")


def test_the_command_line_gives_files_their_names(url: str, folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "maps"
    asked = ["explain", str(folder), "--job", "-m", "toy", "--method", "gradient", "--url", url]
    done = CliRunner().invoke(cli, [*asked, "-o", str(to)])
    assert done.exit_code == 0, done.output
    assert len(list((to / "attributions" / "cats").iterdir())) == COUNT // 2
    table = list(csv.DictReader(io.StringIO((to / "index.csv").read_text())))
    assert table[0]["file"] == "cats/1.png"
    assert {row["label"] for row in table if row["file"].startswith("dogs")} == {"dogs"}
    with Client(url) as client:
        alone = client.explain("toy", folder / "cats" / "11.png", "gradient")
        np.testing.assert_array_equal(np.load(to / "attributions" / "cats" / "11.png.npy"), alone.values)
    done = CliRunner().invoke(cli, [*asked, "-o", str(tmp_path / "all.zip")])
    assert done.exit_code == 0, done.output
    assert "cats/1.png.npy" in str(zipfile.ZipFile(tmp_path / "all.zip").namelist())
    done = CliRunner().invoke(cli, asked)
    assert f'"explained": {COUNT}' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "b"], "one folder"),
        (["{in}", "-o", "maps.npy"], "a job is written to"),
        (["{in}", "--method", "lrp", "--method", "cam"], "of one method"),
        (["{in}/notes.txt"], "neither a folder nor"),
        (["{in}/empty"], "holds no image"),
        (["data.csv"], "there is no file data.csv"),
    ],
)
def test_what_cannot_be_one_job_is_a_usage_error(folder: Path, arguments: list[str], said: str) -> None:
    (folder / "empty").mkdir()
    given = [one.replace("{in}", str(folder)) for one in arguments]
    done = CliRunner().invoke(cli, ["explain", *given, "--job", "-m", "toy", "--url", "http://127.0.0.1:1"])
    assert done.exit_code == 2, done.output
    assert said in done.stderr.replace("\n", " ")


def names_in(given: Any) -> tuple[list[str], tuple[str, ...]]:
    with upload_of(given) as upload:
        return zipfile.ZipFile(upload.file).namelist(), upload.names


def test_a_folder_is_sent_in_the_order_that_the_service_has_it(folder: Path, tmp_path: Path) -> None:
    sent, names = names_in(folder)
    assert sent == list(names) == sorted(sent, key=lambda name: name.split("/"))
    deep = tmp_path / "deep" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "c.png").write_bytes(png_of())
    (tmp_path / "deep" / "d.png").write_bytes(png_of())
    assert names_in(tmp_path / "deep") == (["a-b-c.png", "d.png"], ("a/b/c.png", "d.png"))


def test_no_file_of_a_folder_is_lost_to_the_name_of_another(tmp_path: Path) -> None:
    """Folders in folders are not classes, so that their names are written in one."""
    paths = ("a/b-c/d.png", "a/b/c-d.png", "a-b/c/d.png", "a-b/c/d-2.png", "top.png")
    for count, path in enumerate(paths):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(png_of(20 * count))
    with upload_of(tmp_path) as upload, zipfile.ZipFile(upload.file) as archive:
        sent = [archive.read(name) for name in sorted(archive.namelist())]
        assert sorted(upload.names) == sorted(paths)
        assert sent == [(tmp_path / path).read_bytes() for path in upload.names]


def test_a_table_is_a_row_each(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("age,label,height\n30,1,1.5\n\n40,0,1.75\n")
    with upload_of(tmp_path / "t.csv") as upload:
        found = np.load(upload.file)
        assert found["inputs"].tolist() == [[30, 1.5], [40, 1.75]]
        assert found["labels"].tolist() == [1, 0]
    (tmp_path / "t.csv").write_text("1,2\n3,4\n")
    with upload_of(str(tmp_path / "t.csv")) as upload:
        assert np.load(upload.file)["inputs"].tolist() == [[1, 2], [3, 4]]
    for text, line in (("a,b\n1,x\n", 2), ("1,2\n3\n", 2)):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(ValueError, match=f"line {line}"), upload_of(tmp_path / "t.csv"):
            pass


HOUSE = Columns(("rooms", "age", "distance"), {"age": ("new", "old")}, ("cheap", "dear"))


@pytest.mark.parametrize(
    ("text", "rows", "labels"),
    [
        ("rooms,age,distance\n3,1,2\n", [[3, 1, 2]], None),
        ("id,distance,age,rooms,label\n7,2,old,3,dear\n8,5,0,4,0\n", [[3, 1, 2], [4, 0, 5]], [1, 0]),
        ("rooms;age;distance\n3,5;1;2\n", [[3.5, 1, 2]], None),
        ("3\t1\t2\n4\t5\t6\n", [[3, 1, 2], [4, 5, 6]], None),
        ('rooms,age,distance,note\n1,2,3,"a, ""b""\nc"\n', [[1, 2, 3]], None),
    ],
)
def test_columns_are_taken_by_the_names_of_the_model(
    tmp_path: Path, text: str, rows: list[list[float]], labels: list[int] | None
) -> None:
    (tmp_path / "t.csv").write_text(text)
    values, found = read_table(tmp_path / "t.csv", HOUSE)
    assert values.tolist() == rows
    assert found == labels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rooms,age\n3,1\n", "no column distance; the model takes rooms, age, distance"),
        ("rooms,rooms,age,distance\n1,2,3,4\n", "more than one column rooms"),
        ("rooms,age,distance\n3,,2\n", "line 2: '' of the column age is no number"),
        ("rooms,age,distance\n3,1\n", "line 2: it has 2 cells, where the first line has 3"),
        ("rooms,age,distance\n", "a head and no lines below it"),
        ("rooms,age,distance,label\n1,2,3,cosy\n", "label 'cosy' is no class; it may be one of cheap, dear"),
    ],
)
def test_what_is_wrong_in_a_table_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_table(tmp_path / "t.csv", HOUSE)


def test_a_name_is_told_from_a_file(folder: Path) -> None:
    assert name_of("training") == "training"
    assert name_of("sha256:" + "a" * 64) == "sha256:" + "a" * 64
    assert name_of(str(folder)) is None
    assert name_of("data.csv") is None
    with pytest.raises(FileNotFoundError), upload_of("data.csv"):
        pass
    with pytest.raises(ValueError, match="first axis"), upload_of(np.zeros(4)):
        pass
