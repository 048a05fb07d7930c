"""Which models stay loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.orders import work
from tests.patience import PATIENCE_S
from tests.repositories import Fixed, whole
from tests.toys import model_of, net
from workers.engine.device import DeviceLost
from workers.engine.model.function import Function
from workers.explanation.card import Precision
from workers.explanation.errors import ModelAway, UnknownModel
from workers.models.folder import Folder
from workers.models.kept_cards import Whole
from workers.runtime.execute import model_cache as warming
from workers.runtime.execute.model_cache import ModelCache, size

NAMES = ("a", "b", "c")


def folder(path: Path, name: str, kilobytes: int) -> Whole:
    (path / name).mkdir()
    (path / name / "model.pt2").write_bytes(bytes(kilobytes * 1024))
    card = model_of(net(), (1, 8, 8)).card.model_copy(update={"name": name, "digest": f"sha256:{name}"})
    return whole(card, path / name)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models loaded so far."""
    loaded: list[str] = []

    def load(found: Folder, device: str) -> Function:
        loaded.append(found.name)
        return model_of(net(), (1, 8, 8), name=found.name, digest=found.digest)

    monkeypatch.setattr("workers.runtime.execute.model_cache.load", load)
    return loaded


def warm_of(path: Path, budget: int = 10**6) -> ModelCache:
    """Of three models of 10 kB."""
    return ModelCache(Fixed(*(folder(path, name, 10) for name in NAMES)), "cpu", budget)


def held(warm: ModelCache) -> list[str]:
    return [digest.removeprefix("sha256:") for digest in warm.sizes()]


def ask(warm: ModelCache, name: str) -> Function:
    asked = work()
    return warm.model(replace(asked, job=asked.job.model_copy(update={"model": f"sha256:{name}"})))


def test_a_model_is_loaded_once(loads: list[str], tmp_path: Path) -> None:
    warm = warm_of(tmp_path)
    assert ask(warm, "a") is ask(warm, "a")
    assert loads == ["a"]


def test_a_work_gets_the_model_in_its_precision_or_none(loads: list[str], tmp_path: Path) -> None:
    def asked(warm: ModelCache, precision: Precision) -> Function:
        found = work()
        return warm.model(
            replace(found, job=found.job.model_copy(update={"model": "sha256:a", "precision": precision}))
        )

    warm = warm_of(tmp_path)
    with pytest.raises(ModelAway, match="toy is not computed in bfloat16 here"):
        asked(warm, "bfloat16")
    warm.precisions = ("float32", "bfloat16")
    both: list[Precision] = ["float32", "bfloat16", "float32"]
    assert [asked(warm, one).precision for one in both] == both
    assert loads == ["a"]


def test_labels_that_are_corrected_are_those_of_what_is_loaded(loads: list[str], tmp_path: Path) -> None:
    """They are no part of the digest, so the net in memory is still the right one."""
    warm = warm_of(tmp_path)
    net_in_memory = ask(warm, "a")
    (found,) = [one for one in warm.repository.versions() if one.folder.name == "a"]
    labels = tuple(f"class {number}" for number in range(found.card.heads))
    corrected = replace(found, card=found.card.model_copy(update={"labels": labels}))
    assert warm.loaded(corrected) is net_in_memory
    assert (net_in_memory.card.labels, net_in_memory.card.digest) == (labels, "sha256:a")
    assert loads == ["a"]


def test_the_least_recently_used_makes_room(loads: list[str], tmp_path: Path) -> None:
    warm = warm_of(tmp_path, 25 * 1024)
    assert [size(one.folder) for one in warm.repository.versions()] == [10 * 1024] * 3
    ask(warm, "a")
    for name in ("b", "a", "c"):
        ask(warm, name)
    assert held(warm) == ["a", "c"]
    ask(warm, "b")
    assert loads == ["a", "b", "c", "b"]


def test_one_model_stays_whatever_the_budget(loads: list[str], tmp_path: Path) -> None:
    warm = warm_of(tmp_path, 1)
    ask(warm, "a")
    ask(warm, "b")
    assert held(warm) == ["b"]


def test_a_model_that_has_gone_is_for_another_worker(loads: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelAway, match="toy"):
        ask(warm_of(tmp_path), "of yesterday")


def test_what_is_loaded_is_what_was_read(loads: list[str], tmp_path: Path) -> None:
    """Files that have changed since are never taken for the version that they were."""
    warm = warm_of(tmp_path)
    (tmp_path / "a" / "model.pt2").write_bytes(bytes(3))
    with pytest.raises(ModelAway):
        ask(warm, "a")
    assert isinstance(warm.repository, Fixed)
    assert (warm.repository.dropped, warm.sizes()) == (["sha256:a"], {})


def test_what_memory_alone_has_makes_room_last(loads: list[str], tmp_path: Path) -> None:
    warm = warm_of(tmp_path, 25 * 1024)
    ask(warm, "a")
    (tmp_path / "a" / "model.pt2").write_bytes(bytes(10 * 1024 + 1))
    for name in ("b", "c"):
        ask(warm, name)
    assert held(warm) == ["a", "c"]
    warm.forget("sha256:a")
    assert held(warm) == ["c"]


def test_another_model_is_found_by_its_name_or_digest(loads: list[str], tmp_path: Path) -> None:
    warm = warm_of(tmp_path)
    assert warm.named("b") is warm.named("sha256:b")
    assert loads == ["b"]
    with pytest.raises(UnknownModel, match="the model z is not served here"):
        warm.named("z")


def test_where_memory_is_short_others_make_room(
    loads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = warm_of(tmp_path)
    for name in ("a", "b"):
        ask(warm, name)
    fitting: Callable[[Folder, str], Function] = vars(warming)["load"]

    def short(found: Folder, device: str) -> Function:
        if warm.sizes():
            raise MemoryError
        return fitting(found, device)

    monkeypatch.setattr("workers.runtime.execute.model_cache.load", short)
    ask(warm, "c")
    assert held(warm) == ["c"]
    monkeypatch.setattr("workers.runtime.execute.model_cache.load", lambda *_: bytes(-1))
    with pytest.raises(ValueError, match="negative"):
        ask(warm, "a")


def test_a_model_too_large_for_all_memory_is_told(
    loads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> Function:
        raise MemoryError

    warm = warm_of(tmp_path)
    ask(warm, "a")
    monkeypatch.setattr("workers.runtime.execute.model_cache.load", never)
    with pytest.raises(MemoryError):
        ask(warm, "b")


def test_a_model_that_is_there_is_had_while_another_loads(
    loads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = warm_of(tmp_path)
    ask(warm, "a")
    fitting: Callable[[Folder, str], Function] = vars(warming)["load"]
    begun, go = threading.Event(), threading.Event()

    def slow(found: Folder, device: str) -> Function:
        begun.set()
        go.wait(PATIENCE_S)
        return fitting(found, device)

    monkeypatch.setattr("workers.runtime.execute.model_cache.load", slow)
    threads = [threading.Thread(target=ask, args=(warm, "b")) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(PATIENCE_S)
    ask(warm, "a")
    assert not go.is_set()
    go.set()
    for thread in threads:
        thread.join()
    assert loads == ["a", "b"]


def test_a_device_that_is_lost_while_a_model_loads_ends_the_process(
    loads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> Function:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr("workers.runtime.execute.model_cache.load", lost)
    with pytest.raises(DeviceLost):
        ask(warm_of(tmp_path, 1), "a")
