"""Cards that name servers: what is wrong with them is said, and what of them is in the model's digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from tests.workers.models.servers.fake_predictor import Fake, served
from workers.explanation.errors import InvalidFolder
from workers.models.folder import Folder, read_folder
from workers.models.loading import load


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
