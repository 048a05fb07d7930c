"""Folders that come, change, break and go under a worker: what each is at every moment, and what is computed on."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from tests.workers.models.scripted import Place
from workers.models import repository, versions
from workers.models.versions import Wishes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("STILL_S", "DOUBT_S"):
        monkeypatch.setattr(repository, name, -1.0)
    (tmp_path / "models").mkdir()
    return Place(tmp_path / "models")


def test_folders_come_and_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.states() == {}
    place.put("a", "one")
    (place.models / ".hidden").mkdir()
    place.reader.go = False
    assert place.states() == {"a": "loading"}
    place.reader.go = True
    assert place.states() == {"a@one": "ready"}
    place.put("b", "bad")
    assert place.states() == {"a@one": "ready", "b": "failed"}
    assert [one.reason for one in place.repository.states() if one.reason] == ["b: it is bad"]
    shutil.rmtree(place.models / "a")
    shutil.rmtree(place.models / "b")
    assert place.states() == {}
    assert place.repository.find("sha256:one") is None


def test_what_is_in_memory_is_computed_on_until_nobody_asks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("a", "one")
    place.states()
    place.memory.held = {"sha256:one"}
    shutil.rmtree(place.models / "a")
    assert place.states() == {"a@one": "leaving"}
    assert place.repository.find("sha256:one") is not None
    monkeypatch.setattr(repository, "REMOVED_S", -1.0)
    place.waits = {"sha256:one"}  # somebody's work is in the queue
    place.put("b", "two")
    assert place.states() == {"a@one": "leaving", "b@two": "ready"}
    place.repository._leaving["sha256:one"].seconds = -1.0
    assert "a@one" in place.states()
    place.waits = set()
    assert place.states() == {"b@two": "ready"}
    assert place.memory.held == set()


def test_a_replaced_version_is_computed_on_beside_the_new_one(place: Place) -> None:
    place.put("a", "one")
    place.states()
    place.memory.held = {"sha256:one"}
    place.put("a", "two!")
    place.reader.go = False
    assert place.states() == {"a@one": "ready"}  # until the new one is whole
    assert place.repository.pinned("sha256:one")
    place.reader.go = True
    assert place.states() == {"a@one": "leaving", "a@two!": "ready"}
    assert place.repository.digests() == ["sha256:one", "sha256:two!"]
    assert place.began == [("a", "sha256:one", False), ("a", "sha256:two!", True)]
    place.put("a", "one")  # and back
    assert place.states() == {"a@one": "ready"}
    assert place.began[-1] == ("a", "sha256:one", True)


def test_a_version_whose_files_have_changed_and_that_is_not_in_memory_is_gone(place: Place) -> None:
    place.put("a", "one")
    place.states()
    place.put("a", "two!")
    place.reader.go = False
    assert place.states() == {"a": "loading"}
    assert place.repository.digests() == []
    place.reader.go = True
    assert place.states() == {"a@two!": "ready"}


def test_who_finds_files_changed_says_so(place: Place) -> None:
    place.put("a", "one")
    place.states()
    place.repository.drop("sha256:one")
    assert place.repository.digests() == []
    assert place.states() == {"a@one": "ready"}  # it was read anew


def test_what_breaks_leaves_the_version_before_it_in_service(place: Place) -> None:
    place.put("a", "one")
    place.states()
    place.memory.held = {"sha256:one"}
    place.put("a", "bad")
    place.states()
    assert {(one.state, one.reason) for one in place.repository.states()} == {
        ("ready", None),
        ("failed", "a: it is bad"),
    }
    place.memory.held = set()
    place.put("a", "bad")
    assert place.states() == {"a": "failed"}


def test_half_a_folder_waits_until_it_is_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "STILL_S", 60.0)
    place.put("a", "on")
    assert place.states() == {"a": "loading"}
    assert place.reader.read == []
    monkeypatch.setattr(repository, "STILL_S", -1.0)
    monkeypatch.setattr(repository, "DOUBT_S", 60.0)
    place.put("a", "bad")  # it stood still, and was not all there
    assert place.states() == {"a": "loading"}
    (told,) = place.repository.states()
    assert told.reason is not None
    assert "not all there: a: it is bad" in told.reason
    place.put("a", "one")
    assert place.states() == {"a@one": "ready"}


def test_doubts_that_last_are_failures(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "DOUBT_S", 0.3)
    place.put("a", "bad")
    assert place.states() == {"a": "loading"}
    time.sleep(0.35)
    assert place.states() == {"a": "failed"}


def test_the_clock_of_a_file_server_that_is_ahead_keeps_nothing_waiting(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "STILL_S", 0.2)
    touched = time.time() + 3600
    monkeypatch.setattr(versions, "touched", lambda _: touched)
    place.put("a", "one")
    assert place.states() == {"a": "loading"}
    time.sleep(0.25)
    assert place.states() == {"a@one": "ready"}


def test_the_clock_of_a_file_server_that_is_behind_has_nothing_read_half(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "STILL_S", 60.0)
    touched = time.time() - 3600
    monkeypatch.setattr(versions, "touched", lambda _: touched)
    place.put("old", "one")
    assert place.states() == {"old@one": "ready"}  # it may have lain there for an hour
    place.put("a", "on")
    assert place.states()["a"] == "loading"
    assert place.reader.read == ["old"]


def test_equal_folders_are_two_models(place: Place) -> None:
    place.put("a", "one")
    place.put("b", "one")
    assert place.states() == {"a@one": "ready", "b@one": "ready"}
    shutil.rmtree(place.models / "a")
    assert place.states() == {"b@one": "ready"}


@pytest.fixture
def every_line() -> Iterator[None]:
    """No line is left out, whatever level another test of this process has set."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("every_line")
def test_one_net_with_other_labels_is_told(place: Place) -> None:
    """Its explanations have the same ids, and the labels of whichever was asked first."""
    for name, text in {"a": "one cat dog", "b": "one cat dog", "c": "two dog cat"}.items():
        place.put(name, text)
    with capture_logs() as lines:
        place.states()
    assert not [line for line in lines if line["log_level"] == "warning"]
    place.put("d", "one dog cat")
    with capture_logs() as lines:
        place.states()
    (warned,) = [line for line in lines if line["log_level"] == "warning"]
    assert (warned["model"], warned["others"]) == ("d", ["a", "b"])


def test_a_worker_serves_the_names_that_it_is_for(place: Place) -> None:
    for name in ("cat-1", "cat-2", "dog"):
        place.put(name, name)
    place.repository = place.another(lambda name: name.startswith("cat"))
    assert place.states() == {"cat-1@cat-1": "ready", "cat-2@cat-2": "ready"}


def test_who_starts_again_reads_nothing_that_has_not_changed(place: Place) -> None:
    for name in ("a", "b"):
        place.put(name, name)
    place.states()
    place.repository, place.reader.read = place.another(), []
    place.put("b", "changed")
    assert place.states() == {"a@a": "ready", "b@changed": "ready"}
    assert place.reader.read == ["b"]
    shutil.copytree(place.models / "a", place.models / "c")  # of the same content, elsewhere
    os.utime(place.models / "a" / "model.pt2", (1, 1))
    place.repository, place.reader.read = place.another(), []
    place.states()
    assert place.reader.read == ["a", "c"]


def test_what_is_unloaded_is_served_no_more_and_comes_back(place: Place) -> None:
    place.put("a", "one")
    place.states()
    place.wishes = Wishes(unloaded=frozenset({"a", "unheard of"}))
    assert place.states() == {"a": "unloaded", "a@one": "leaving"}
    place.wishes = Wishes()
    assert place.states() == {"a@one": "ready"}


def test_a_folder_is_read_anew_when_somebody_says_so(place: Place) -> None:
    place.put("a", "one")
    place.states()
    place.reader.read = []
    place.wishes = Wishes(reloads={"a": 1})
    assert place.states() == {"a@one": "ready"}
    place.states()
    assert place.reader.read == ["a"]


def test_what_was_sent_takes_the_place_of_the_folder_and_gives_it_back(place: Place, tmp_path: Path) -> None:
    place.put("a", "one")
    place.states()
    sent = tmp_path / ".whence" / "sent" / "0123" / "a"
    sent.mkdir(parents=True)
    (sent / "model.pt2").write_text("two")
    place.wishes = Wishes(folders={"a": sent})
    assert place.states() == {"a@one": "leaving", "a@two": "ready"}
    assert [one.sent for one in place.repository.states()] == [None, "0123"]
    place.wishes = Wishes(folders={"a": sent}, failed={"a": "the store is away"})
    assert place.states() == {"a": "failed", "a@one": "ready", "a@two": "leaving"}
    place.wishes = Wishes()
    assert place.states() == {"a@one": "ready", "a@two": "leaving"}


def test_a_folder_of_models_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert Place(tmp_path / "nowhere").states() == {}


def test_a_folder_of_models_that_is_away_takes_nothing_out_of_service(place: Place) -> None:
    place.put("a", "one")
    place.put("b", "bad")
    there = {"a@one": "ready", "b": "failed"}
    assert place.states() == there
    place.memory.held = {"sha256:one"}
    place.models.rename(place.models.with_name("away"))
    assert place.states() == there
    assert place.repository.find("sha256:one") is not None
    place.models.with_name("away").rename(place.models)
    shutil.rmtree(place.models / "b")
    place.reader.read = []
    assert place.states() == {"a@one": "ready"}
    assert place.reader.read == []
