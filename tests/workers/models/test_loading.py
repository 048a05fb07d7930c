"""Both kinds of source load and predict; nothing is ever unpickled or run from an archive; faults are named."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch

from tests.workers.models import archives
from tests.workers.models.archives import Entries, archive_folder, edited, entries, packed, saved, toy_module
from tests.workers.models.folders import NET, weights, write_folder
from tests.workers.models.loading_cases import PROGRAM, WEIGHTS, everywhere, problem, samples
from workers.models.folder import read_folder
from workers.models.loading import load


@pytest.fixture(scope="module")
def content() -> Entries:
    return entries(saved())


@pytest.fixture(autouse=True)
def only_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.load may be called with weights_only=True alone."""
    real = torch.load

    def guarded(*args: Any, **kwargs: Any) -> Any:
        assert kwargs.get("weights_only") is True
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "load", guarded)


def test_an_archive_loads_without_its_sample_inputs_and_computes_the_same(tmp_path: Path, content: Entries) -> None:
    sample = "data/sample_inputs/model.pt"
    assert content[sample]
    poisoned = content | {sample: archives.torch_pickled(tmp_path / "ran")}
    model = load(read_folder(archive_folder(tmp_path / "toy", packed(poisoned))))
    assert not (tmp_path / "ran").exists()
    torch.testing.assert_close(model.forward(samples()), toy_module()(samples()))
    assert model.rows is None


def test_a_module_source_loads_with_its_weights(tmp_path: Path) -> None:
    model = load(read_folder(write_folder(tmp_path / "toy")))
    scope: dict[str, Any] = {}
    exec(NET, scope)
    module = scope["build"]()
    module.load_state_dict(weights())
    torch.testing.assert_close(model.forward(samples()), module(samples()))
    assert model.card.labels == ("a", "b", "c", "d", "e")
    assert model.rows is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: {n: v for n, v in c.items() if n != PROGRAM}, "its entry models/model.json is missing"),
        (lambda c: {n: v for n, v in c.items() if n != WEIGHTS}, f"its entry {WEIGHTS} is missing"),
        (lambda c: {n: v for n, v in c.items() if n != "data/weights/weight_1"}, "for the tensor '0.bias', is missing"),
        (lambda c: {n: v for n, v in c.items() if n != "archive_format"}, "it was not written by torch.export.save"),
        (lambda c: c | {PROGRAM: b"{"}, "its entry models/model.json is not JSON"),
        (lambda c: c | {PROGRAM: b"[]"}, "its entry models/model.json has no graph"),
        (lambda c: c | {WEIGHTS: b"[]"}, f"its entry {WEIGHTS} has no table of tensors"),
        (lambda c: c | {"../../etc/passwd": b""}, "is no plain path below the archive's root"),
        (lambda c: c | {"extra\\..\\x": b""}, "is no plain path below the archive's root"),
        (lambda c: c | {"data/aotinductor/model/a.so": b""}, "it carries compiled code (data/aotinductor/model/a.so)"),
        (lambda c: c | {"extra/zeros": bytes(10**7)}, "'extra/zeros' unpacks to more than 100 times its size"),
        (
            lambda c: edited(c, WEIGHTS, lambda v: v["config"]["0.weight"].update(path_name="../models/model.json")),
            "'data/weights/../models/model.json', for the tensor '0.weight', is missing",
        ),
        (
            lambda c: edited(c, PROGRAM, lambda v: v["schema_version"].update(major=99)),
            "cannot read it (",
        ),
    ],
)
def test_a_wrong_archive_is_told(tmp_path: Path, content: Entries, change: Any, told: str) -> None:
    detail = problem(archive_folder(tmp_path / "toy", packed(change(content))))
    assert detail.startswith("toy/model.pt2: ")
    assert told in detail


def test_bytes_that_are_no_zip_and_a_damaged_entry_are_told(tmp_path: Path, content: Entries) -> None:
    assert "it is no readable zip" in problem(archive_folder(tmp_path / "text", b"hello"))
    data = bytearray(packed(content))
    with ZipFile(io.BytesIO(data)) as file:
        place = file.getinfo("model/data/weights/weight_0").header_offset + 80
    data[place] ^= 0xFF
    assert "it is no readable zip" in problem(archive_folder(tmp_path / "damaged", bytes(data)))


def test_two_entries_of_one_name_are_refused(tmp_path: Path, content: Entries) -> None:
    out = io.BytesIO(packed(content))
    with ZipFile(out, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(f"model/{PROGRAM}", b"{}")
    assert "comes twice" in problem(archive_folder(tmp_path / "toy", out.getvalue()))


def test_the_digest_of_an_archive_is_of_its_content(tmp_path: Path, content: Entries) -> None:
    ways = {
        "plain": packed(content),
        "root": packed(content, root="other"),
        "order": packed(content, names=sorted(content, reverse=True)),
        "sample": packed(content | {"data/sample_inputs/model.pt": b"other"}),
        "extra": packed(content | {"extra/note.txt": b"stray"}),
    }
    digests = {read_folder(archive_folder(tmp_path / name, data)).digest for name, data in ways.items()}
    assert len(digests) == 1
    weight = content["data/weights/weight_0"]
    other = packed(content | {"data/weights/weight_0": weight[:-1] + bytes([weight[-1] ^ 1])})
    assert read_folder(archive_folder(tmp_path / "weight", other)).digest not in digests
    graph = packed(edited(content, PROGRAM, everywhere("target", "torch.ops.aten.tanh.default")))
    assert read_folder(archive_folder(tmp_path / "graph", graph)).digest not in digests
