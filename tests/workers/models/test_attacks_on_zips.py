"""Attacks on the archive as a zip, and on the other files of a folder: refused by name, or left out.

Places 18 to 23 of docs/adr/0009-archives-are-data.md; pickles are test_loading.py's.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pytest
import torch

from tests.fuzz.archives import nothing_else
from tests.workers.models import archives
from tests.workers.models.archives import Entries, archive_folder, entries, packed, saved, toy_module
from tests.workers.models.attack_edits import refusal
from tests.workers.models.folders import write_folder
from workers.explanation.errors import ModelError
from workers.models.folder import read_folder
from workers.models.loading import load

CENTRAL = b"PK\x01\x02"


@pytest.fixture(scope="module")
def content() -> Entries:
    return entries(saved())


def zipped(content: Entries, *more: tuple[ZipInfo | str, bytes], method: int = ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), ZipFile(out, "w", method) as file:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in [*((f"model/{name}", data) for name, data in content.items()), *more]:
            file.writestr(name, data)
    return out.getvalue()


def directory(data: bytes, number: int, field: int, form: str, value: int) -> bytes:
    """A field of an entry in the directory at the end, overwritten."""
    with ZipFile(io.BytesIO(data)) as file:
        place = file.start_dir - 1
    for _ in range(number + 1):
        place = data.index(CENTRAL, place + 1)
    changed = bytearray(data)
    struct.pack_into(form, changed, place + field, value)
    return bytes(changed)


def same_place(data: bytes) -> bytes:
    """The second entry's bytes are the first's."""
    return directory(data, 1, 42, "<I", 0)


def link() -> ZipInfo:
    info = ZipInfo("model/extra/link")
    info.external_attr = 0o120777 << 16
    return info


ATTACKS: dict[str, tuple[Callable[[Entries], bytes], str]] = {
    "a bomb": (lambda c: zipped({**c, "extra/zeros": bytes(10**7)}, method=ZIP_DEFLATED), "times its size"),
    "a bomb for the graph": (
        lambda c: zipped({**c, "models/model.json": b"[" * 10**7}, method=ZIP_DEFLATED),
        "times its size",
    ),
    "a graph nested without end": (lambda c: zipped({**c, "models/model.json": b"[" * 10**6}), "is not JSON"),
    "a number without end": (lambda c: zipped({**c, "models/model.json": b"9" * 10**6}), "is not JSON"),
    "a graph that is not UTF-8": (lambda c: zipped({**c, "models/model.json": b'{"\xff": 1}'}), "is not JSON"),
    "a name twice": (lambda c: zipped(c, ("model/models/model.json", b"{}")), "comes twice"),
    "a path out of it": (lambda c: zipped(c, ("model/../../etc/cron.d/x", b"x")), "is no plain path"),
    "a path from the root": (lambda c: zipped(c, ("/etc/cron.d/x", b"x")), "is no plain path"),
    "a drive": (lambda c: zipped(c, ("C:\\x", b"x")), "is no plain path"),
    "another root": (lambda c: zipped(c, ("other/models/model.json", b"{}")), "lies outside the archive's root"),
    "a link": (lambda c: zipped(c, (link(), b"/etc/passwd")), "no plain file"),
    "a name with a NUL": (
        lambda c: zipped(c, ("model/extra/xy", b"")).replace(b"extra/xy", b"extra/x\0"),
        "is no plain path",
    ),
    "a name of thousands of letters": (lambda c: zipped(c, ("model/" + "x" * 6000, b"")), "is no plain path"),
    "another compression": (lambda c: zipped(c, method=ZIP_LZMA), "no plain file"),
    "entries in one place": (lambda c: same_place(zipped(c)), "overlap"),
    "a size that lies": (lambda c: directory(zipped(c), 0, 24, "<I", 2**20), "unpacks to more than|no readable zip"),
    "an encrypted entry": (lambda c: directory(zipped(c), 0, 8, "<H", 1), "no readable zip"),
    "a cut": (lambda c: zipped(c)[:-30], "no readable zip|unpickling"),  # its sample inputs are a zip too
    "compiled code": (lambda c: zipped({**c, "data/aotinductor/model/x.so": b"\x7fELF"}), "compiled code"),
    "the format of torch 2.7": (
        lambda c: zipped({"version": b"8.2", "serialized_exported_program.json": b"{}"}),
        "is missing|was not written",
    ),
    "another order of bytes": (lambda c: zipped({**c, "byteorder": b"big"}), "little-endian"),
    "another version": (lambda c: zipped({**c, "archive_version": b"1"}), "archive_version"),
    "a tensor in an empty entry": (lambda c: zipped({**c, "data/weights/weight_0": b""}), "takes 216 bytes"),
    "a tensor in an entry cut short": (
        lambda c: zipped({**c, "data/weights/weight_0": c["data/weights/weight_0"][:-4]}),
        "takes 216 bytes of its entry, which has 212",
    ),
    "an archive of before torch 2.7": (
        lambda _: zipped({}, ("version", b"5.1"), ("serialized_exported_program.json", b"{}")),
        "by torch before 2.7",
    ),
    "a weight of the old format": (lambda c: zipped({**c, "data/weights/model.pt": b"x"}), "by unpickling"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_the_zip_is_refused(tmp_path: Path, content: Entries, attack: str) -> None:
    make, told = ATTACKS[attack]
    folder = archive_folder(tmp_path / "toy", make(content))
    with nothing_else(), pytest.raises(ModelError, match=told) as caught:
        load(read_folder(folder))
    assert caught.value.detail.startswith("toy/model.pt2: ")


def test_too_many_entries_are_refused(tmp_path: Path, content: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.models.archive.entries.MAX_ENTRIES", 100)
    many = {f"extra/{i}": b"" for i in range(100)}
    assert "at most 100 are read" in refusal(tmp_path / "toy", {**content, **many})


def test_what_loading_does_not_need_is_left_out(tmp_path: Path, content: Entries) -> None:
    """Sample inputs, other programs, files of the author's, an archive within the archive."""
    bomb = archives.torch_pickled(tmp_path / "ran")
    more = {
        "data/sample_inputs/model.pt": bomb,
        "data/sample_inputs/other.pt": bomb,
        "models/other.json": b"{",
        "extra/sitecustomize.py": b"raise SystemExit",
        "extra/inner.zip": packed(content),
        "extra/grüße": b"",
        ".data/serialization_id": b"1" * 1000,
    }
    with nothing_else():
        model = load(read_folder(archive_folder(tmp_path / "toy", packed({**content, **more}))))
    x = torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(model.forward(x), toy_module()(x))
    assert not (tmp_path / "ran").exists()


def header(size: int, text: bytes) -> bytes:
    return struct.pack("<Q", size) + text


F32 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    "data",
    [
        header(2**63, b"{}"),
        header(10**9, b"{}"),
        header(60_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        header(2, b"{}") + bytes(100),
        header(2, b"\xff\xff"),
        b"",
        *(
            header(len(text), text) + bytes(16)
            for text in (
                json.dumps({"a": F32, "b": F32}).encode(),
                json.dumps({"a": {**F32, "shape": [2**40, 2**40]}}).encode(),
                json.dumps({"a": {**F32, "data_offsets": [0, 2**62]}}).encode(),
                json.dumps({"a": {**F32, "data_offsets": [16, 0]}}).encode(),
                json.dumps({"a": {**F32, "dtype": "PICKLE"}}).encode(),
            )
        ),
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path: Path, data: bytes) -> None:
    path = write_folder(tmp_path / "toy")
    (path / "weights.safetensors").write_bytes(data)
    with nothing_else(), pytest.raises(ModelError, match=r"toy/weights\.safetensors: "):
        load(read_folder(path))


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("card.toml", b"x = " + b"[" * 100_000),
        ("card.toml", b"x = " + b"{a=" * 20_000),
        ("card.toml", b"[" + b"a." * 10_000 + b"a]"),
        ("card.toml", b"[model]\naccuracy = " + b"9" * 100_000),
        ("card.toml", b"[input]\nkind = 'tensor'\nshape = [" + b"1," * 100_000 + b"]"),
        ("card.toml", b"[model]\nsource = 'python:../../x.py:build'\n[input]\nkind='tensor'\nshape=[6]"),
        ("card.toml", b"[model]\nsource = 'model.pt2'\n[input]\nkind='tensor'\nshape=[9223372036854775807]"),
        ("card.toml", b"\xff\xfe"),
        ("card.toml", b"x = 1\n" * 10**6),
        ("labels.txt", b"\xff\xfe\x00"),
        ("labels.txt", b"a" * 5 * 10**7),
        ("labels.txt", b"a\n" * 10**7 + b"\n"),
    ],
)
def test_a_card_and_labels_that_are_bombs_are_refused(tmp_path: Path, content: Entries, file: str, data: bytes) -> None:
    path = archive_folder(tmp_path / "toy", packed(content))
    (path / file).write_bytes(data)
    with nothing_else(), pytest.raises(ModelError, match=r"^toy") as caught:
        load(read_folder(path))
    assert len(caught.value.detail) < 500


def test_an_attack_costs_its_folder_alone(tmp_path: Path, content: Entries) -> None:
    assert refusal(tmp_path / "bad", {**content, "byteorder": b"big"})
    assert load(read_folder(archive_folder(tmp_path / "good", packed(content)))).card.name == "good"
