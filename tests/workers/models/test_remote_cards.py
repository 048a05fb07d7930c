"""Cards that name servers: what is wrong with them is said, and what of them is in the model's digest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from tests.workers.models.servers.fake_predictor import Fake, served
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.errors import InvalidFolder, InvalidParameter
from workers.models.folder import Folder, read_folder
from workers.models.loading import load
from workers.models.remote.protocols import OpenInference
from workers.models.remote.section import RemoteSection
from workers.models.remote.source import witness


@pytest.fixture
def fake() -> Iterator[Fake]:
    with served(Fake(lambda rows: np.ones((len(rows), 3)))) as found:
        yield found


def folder(path: Path, source: str, remote: dict[str, Any] | None = None) -> Path:
    card = {"model": {"source": source}, "input": {"shape": [5]}, "remote": remote or {}}
    path.mkdir(exist_ok=True)
    (path / "card.toml").write_text(tomli_w.dumps(card))
    return path


def test_the_digest_is_of_what_is_served_and_not_of_how_it_is_waited_for(fake: Fake, tmp_path: Path) -> None:
    def digest(**remote: Any) -> str:
        return read_folder(folder(tmp_path / "far", fake.address, remote)).digest

    first = digest()
    assert digest(timeout=9.0, retries=0, rows=7) == first
    assert digest(output="scores") != first
    fake.version = "2"
    second = digest()
    assert first != second != digest(version="2.0")


@pytest.mark.parametrize(
    ("source", "remote", "said"),
    [
        ("kserve:ftp://host/m", {}, "should be kserve: and an address"),
        ("kserve:http://", {}, "should be kserve: and an address"),
        ("mlflow:http://user:secret@host/invocations", {}, "holds a password"),
        ("mlflow:http://a..b/invocations", {}, "should be mlflow: and an address"),
        ("mlflow:http://" + "a" * 64 + "/invocations", {}, "should be mlflow: and an address"),
        ("mlflow:http://host/invocations?key=1", {}, "without [?] and #"),
        ("kserve:http://host/v1/models/m", {"version": ""}, "version is wrong"),
        ("kserve:http://host/v1/models/m", {"token": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE, which the worker has not"),
        ("kserve:http://host/v1/models/m", {"headers": {"a b": "X"}}, "no name of a header"),
        ("kserve:http://host/v1/models/m", {"send": "csv"}, "kserve: takes tensor or columns or image"),
        ("mlflow:http://host/invocations", {"send": "columns"}, "need their names"),
        ("mlflow:http://host/invocations", {"binary": True}, "no binary tensors"),
        ("model.pt2", {}, "is for a source that is a server"),
    ],
)
def test_a_wrong_card_says_what_would_be_right(source: str, remote: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "model.pt2").write_bytes(b"")
    with pytest.raises(InvalidFolder, match=said) as error:
        read_folder(folder(tmp_path / "far", source, {"version": "1", **remote}))
    assert "secret" not in error.value.detail


def test_a_server_that_tells_no_version_needs_one_in_the_card(fake: Fake, tmp_path: Path) -> None:
    fake.version = None
    with pytest.raises(InvalidFolder, match="version is missing"):
        read_folder(folder(tmp_path / "far", fake.address))
    found: Folder = read_folder(folder(tmp_path / "far", fake.address, {"version": "a"}))
    assert load(found).seen["version"] == found.version == "a"


@pytest.mark.parametrize(("datatype", "row"), [("INT64", [0.5, 1]), ("INT32", [2.0**31, 0]), ("INT64", [0, -0.25])])
def test_a_server_of_whole_numbers_is_asked_for_no_others(datatype: Any, row: list[float]) -> None:
    """Cut off, a value that a method made up would be another one, and the explanation of that."""
    section = RemoteSection(datatype=datatype)
    asked = OpenInference("http://far", section, InputSpec(shape=(2,)), (), "tensor")
    assert json.loads(asked.request(np.array([[3, -1]], np.float32)).body)["inputs"][0]["data"] == [3, -1]
    with pytest.raises(InvalidParameter, match="values between them"):
        asked.request(np.array([row], np.float32))


def test_a_picture_for_a_server_of_whole_numbers_is_rounded() -> None:
    spec = InputSpec(kind="image", shape=(1, 1, 4), image=ImageSpec(mode="L", scale=255.0))
    asked = OpenInference("http://far", RemoteSection(), spec, (), "tensor")
    asked._inputs = [{"name": "x", "datatype": "UINT8"}]
    sent = json.loads(asked.request(np.array([[[[-3, 1.75, 127.5, 300]]]], np.float32)).body)
    assert sent["inputs"][0]["data"] == [0, 2, 128, 255]


def test_the_row_that_is_asked_first_is_of_whole_numbers_where_there_are_some() -> None:
    assert witness(InputSpec(shape=(2,), low=0.0, high=1.0), None).tolist() == [[0, 0]]
    assert witness(InputSpec(shape=(2,), low=(0.2, -3.0), high=(0.6, 2.0)), None).tolist() == [[pytest.approx(0.2), 0]]
