"""Blobs in a folder, and in a store that is none: whole or not at all, checked, swept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import fsspec
import pytest

from workers.jobs.blobs import DRAFT_S, Kind, Objects, ObjectsAway

DAY = 86400.0
WEEK: dict[Kind, float] = {"results": 7 * DAY, "inputs": DAY}


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "objects") if request.param == "folder" else f"memory://{tmp_path}"


@pytest.fixture
def folder(tmp_path: Path) -> Objects:
    return Objects(str(tmp_path / "objects"), smallest=10)


def files(objects: Objects) -> set[str]:
    """Kinds and names of all that lies there, drafts too."""
    return {place.removeprefix(f"{objects.root}/") for place in objects.fs.find(objects.root)}


def aged(objects: Objects, name: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(f"{objects.root}/{name}", (then, then))


def test_what_was_put_is_got_and_nothing_else_lies_there(url: str) -> None:
    objects = Objects(url)
    name = objects.put("results", b"numbers")
    assert objects.put("results", b"numbers") == name
    assert objects.get(name) == b"numbers"
    assert objects.renew(name)
    assert files(objects) == {name}
    assert Objects(url).get(name) == b"numbers", "another process"


def test_what_was_not_put_is_not_there(url: str) -> None:
    objects = Objects(url)
    assert objects.get("results/" + "0" * 64) is None
    assert not objects.renew("results/" + "0" * 64)


@pytest.mark.parametrize("broken", [b"", b"number", b"nUmbers"])
def test_a_broken_blob_is_gone_and_can_be_put_again(url: str, broken: bytes) -> None:
    objects = Objects(url)
    name = objects.put("results", b"numbers")
    objects.fs.pipe_file(f"{objects.root}/{name}", broken)
    assert objects.get(name) is None
    assert files(objects) == set()
    assert objects.put("results", b"numbers") == name
    assert objects.get(name) == b"numbers"


def test_only_what_is_large_is_taken(folder: Objects) -> None:
    assert folder.take("results", b"123456789") is None
    assert folder.take("results", b"1234567890") == folder.put("results", b"1234567890")
    assert Objects(None, smallest=1).take("results", b"12") is None


def test_a_reader_never_sees_half_a_blob(folder: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    move = folder.fs.mv

    def moved(draft: str, place: str) -> None:
        seen.append((folder.fs.exists(draft), folder.fs.exists(place)))
        move(draft, place)

    monkeypatch.setattr(folder.fs, "mv", moved)
    folder.put("results", b"numbers")
    assert seen == [(True, False)]


def test_a_write_that_fails_leaves_nothing_and_redis_has_to_take_it(
    folder: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.fs, "mv", full)
    with pytest.raises(ObjectsAway, match="No space left"):
        folder.put("results", b"numbers")
    assert folder.take("results", b"1234567890") is None
    assert files(folder) == set()


def test_a_store_that_does_not_answer_is_away_and_what_it_holds_is_not_gone(
    folder: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreachable(Exception):
        """As the libraries of object stores raise them."""

    def unreachable(_: str) -> bytes:
        raise Unreachable("no route to host")

    name = folder.put("results", b"numbers")
    monkeypatch.setattr(folder.fs, "cat_file", unreachable)
    with pytest.raises(ObjectsAway, match="no route to host"):
        folder.get(name)
    monkeypatch.undo()
    assert folder.get(name) == b"numbers"


def test_a_blob_named_where_no_store_is_set_is_the_operators_fault() -> None:
    with pytest.raises(ObjectsAway, match="WHENCE_OBJECTS"):
        Objects(None).get("results/" + "0" * 64)


def test_a_sweep_removes_what_was_not_used_for_its_kinds_time(folder: Objects) -> None:
    result, given, old = folder.put("results", b"a"), folder.put("inputs", b"b"), folder.put("results", b"c")
    aged(folder, result, 6 * DAY)
    aged(folder, given, 2 * DAY)
    aged(folder, old, 8 * DAY)
    assert folder.sweep(WEEK, 10**9) == 2
    assert files(folder) == {result}


def test_the_least_recently_used_leaves_first(folder: Objects) -> None:
    names = [folder.put("results", bytes([i]) * 100) for i in range(5)]
    for i, name in enumerate(names):
        aged(folder, name, 1000 - i)
    assert folder.get(names[0]) is not None
    assert folder.renew(names[1])
    assert folder.sweep(WEEK, 250) == 3
    assert files(folder) == {names[0], names[1]}


def test_nothing_is_swept_where_all_has_room(url: str) -> None:
    objects = Objects(url)
    assert objects.sweep(WEEK, 0) == 0
    name = objects.put("results", b"numbers")
    assert objects.sweep(WEEK, 7) == 0
    assert files(objects) == {name}
    assert objects.sweep(WEEK, 6) == 1
    assert files(objects) == set()


def test_a_draft_without_a_writer_is_removed_and_one_being_written_is_not(folder: Objects) -> None:
    name = folder.put("results", b"numbers")
    for age in (0, 2 * DRAFT_S):
        draft = f"{name}.{age}.part"
        folder.fs.pipe_file(f"{folder.root}/{draft}", b"num")
        aged(folder, draft, age)
    assert folder.sweep(WEEK, 7) == 0
    assert files(folder) == {name, f"{name}.0.part"}


def test_a_folder_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = Objects("here")
    name = objects.put("inputs", b"numbers")
    monkeypatch.chdir("/")
    assert objects.get(name) == b"numbers"
    assert (tmp_path / "here" / name).read_bytes() == b"numbers"
    assert isinstance(objects.fs, type(fsspec.filesystem("file")))
