"""Uploads that are no dataset, are too large or are damaged: refused, and nothing is left of them."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
from pathlib import Path
from zipfile import ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import pytest

from tests.workers.datasets.dataset_files import PETS, npz, npz_by_name, png, sent, tarred, zipped
from tests.workers.datasets.uploads import BOXES, LABELS, MASKS, X, npy
from tests.workers.models.archives import Bomb
from workers.datasets.library import Datasets
from workers.explanation.errors import ExplainError, InputTooLarge, InvalidDataset


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(tmp_path / "datasets")


def linked(kind: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        member = tarfile.TarInfo("cat/link.png")
        member.type, member.linkname = kind, "/etc/passwd"
        file.addfile(member)
    return out.getvalue()


def zip_with(mode: int = 0, flags: int = 0, compression: int = ZIP_STORED, twice: bool = False) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w") as file:
        info = ZipInfo("cat/0.png")
        info.external_attr = mode << 16
        info.compress_type = compression
        file.writestr(info, png(1))
        if twice:
            info.filename = "cat/1.png"
            file.writestr(info, png(2))
    data = out.getvalue().replace(b"cat/1.png", b"cat/0.png")
    at = data.find(b"PK\1\2") + 8
    return data[:at] + struct.pack("<H", flags) + data[at + 2 :] if flags else data


REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "text": b"hello" * 200,
    "an empty zip": zipped({}),
    "an empty tar": tarred({}),
    "gzip of text": gzip.compress(b"hello" * 200),
    "a path up": zipped({"../cat/0.png": png(1)}),
    "a path up within": tarred({"cat/../../0.png": png(1)}),
    "an absolute path": tarred({"/cat/0.png": png(1)}),
    "a backslash": zipped({"cat\\..\\0.png": png(1)}),
    "a control character": tarred({"cat\n/0.png": png(1)}),
    "a very long path": zipped({"c" * 2000 + "/0.png": png(1)}),
    "a symbolic link in a tar": linked(tarfile.SYMTYPE),
    "a hard link": linked(tarfile.LNKTYPE),
    "a device": linked(tarfile.CHRTYPE),
    "a symbolic link in a zip": zip_with(mode=0o120777),
    "encrypted": zip_with(flags=1),
    "a method that few read": zip_with(compression=ZIP_LZMA),
    "a name twice": zip_with(twice=True),
    "a zip in the zip": zipped({"cat/0.png": png(1), "cat/more.zip": zipped(PETS)}),
    "a tar in the tar": tarred({"cat/more.png": tarred(PETS)}),
    "something that is no image": zipped({"cat/0.png": png(1), "cat/notes.txt": b"hello"}),
    "images at two depths": zipped({"0.png": png(1), "cat/1.png": png(2)}),
    "folders in class folders": zipped({"a/cat/0.png": png(1), "b/cat/1.png": png(2)}),
    "no inputs": npz(labels=LABELS),
    "an unknown array": npz(inputs=X, weights=LABELS),
    "objects": npz(inputs=np.array([Bomb(Path("/nowhere"))], object)),
    "complex numbers": npz(inputs=X.astype(complex)),
    "bytes as inputs": npz(inputs=np.array([b"a", b"b"])),
    "an empty text": npz(inputs=np.array(["a", " "])),
    "texts with axes": npz(inputs=np.array([["a", "b"]])),
    "inputs twice": npz_by_name({"inputs": X, "inputs.row": X}),
    "an input of no name": npz_by_name({"inputs.": X}),
    "inputs of two lengths": npz_by_name({"inputs.a": X, "inputs.b": X[:1]}),
    "masks of several": npz_by_name({"inputs.a": X, "inputs.b": X, "masks": np.ones((len(X), 1, *X.shape[-2:]), bool)}),
    "one number": npz(inputs=np.float32(1)),
    "no items": npz(inputs=X[:0]),
    "items without axes": npz(inputs=np.zeros(3)),
    "not a number": npz(inputs=np.where(X > 0.5, np.nan, X)),
    "beyond float32": npz(inputs=X.astype(np.float64) * 1e300),
    "labels of another length": npz(inputs=X, labels=LABELS[:2]),
    "labels that are fractions": npz(inputs=X, labels=LABELS / 2),
    "negative labels": npz(inputs=X, labels=-LABELS),
    "labels without end": npz(inputs=X, labels=LABELS * 10**9),
    "masks of another size": npz(inputs=X, masks=MASKS[..., 1:]),
    "masks without concepts": npz(inputs=X, masks=MASKS[:, 0]),
    "masks that are fractions": npz(inputs=X, masks=MASKS / 2),
    "series without steps": npz(inputs=X, series=np.zeros((len(X), 4))),
    "series that are not finite": npz(inputs=X, series=np.full((len(X), 4, 1), np.nan)),
    "series of other items": npz(inputs=X, series=np.zeros((len(X) + 1, 4, 1))),
    "categories without masks": npz(inputs=X, categories=np.zeros(2, int)),
    "categories of other concepts": npz(inputs=X, masks=MASKS, categories=np.zeros(MASKS.shape[1] + 1, int)),
    "categories that are fractions": npz(inputs=X, masks=MASKS, categories=np.zeros(MASKS.shape[1])),
    "categories beyond the concepts": npz(inputs=X, masks=MASKS, categories=np.full(MASKS.shape[1], MASKS.shape[1])),
    "boxes of corners and sizes": npz(inputs=X, boxes=np.array([[0.5, 0.5, 0.2, 0.2]] * 3)),
    "boxes in pixels": npz(inputs=X, boxes=BOXES * 224),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_dataset_is_refused_and_leaves_nothing(datasets: Datasets, tmp_path: Path, what: str) -> None:
    with pytest.raises(InvalidDataset) as refused:
        sent(datasets, REFUSED[what])
    assert len(refused.value.detail) > 10
    assert not any("passwd" in refused.value.detail or name in refused.value.detail for name in ("0.png", "notes.txt"))
    assert list(datasets.folder.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]


def test_nothing_is_unpickled(datasets: Datasets, tmp_path: Path) -> None:
    proof = tmp_path / "unpickled"
    out = io.BytesIO()
    np.save(out, np.array([Bomb(proof)], object), allow_pickle=True)
    for files in ({"inputs.npy": out.getvalue()}, {"inputs.npy": out.getvalue().split(b"\n", 1)[1]}):
        with pytest.raises(InvalidDataset):
            sent(datasets, zipped(files))
    assert not proof.exists()


def test_an_array_is_as_long_as_its_header_says(datasets: Datasets) -> None:
    for data in (npy(X, b"0"), npy(X)[:-1], npy(X)[:30]):
        with pytest.raises(InvalidDataset):
            sent(datasets, zipped({"inputs.npy": data}))


def test_a_header_of_an_array_claims_in_vain(datasets: Datasets) -> None:
    """10^12 numbers in a file of two kilobytes: nothing of that size is made."""
    claimed = npy(X).replace(b"(3, 2, 4, 5)", b"(3, 10**12) ").replace(b"10**12", b"999999")
    with pytest.raises(InvalidDataset):
        sent(datasets, zipped({"inputs.npy": claimed}))


LARGE: dict[str, tuple[bytes, dict[str, int]]] = {
    "more images than allowed": (zipped(PETS), {"items": 5}),
    "more images in a tar": (tarred(PETS), {"items": 5}),
    "more tensors than allowed": (npz(inputs=X), {"items": 2}),
    "more entries than items": (zipped({f"{i}/": b"" for i in range(22)}), {"items": 5}),
    "more pixels than allowed": (zipped(PETS), {"pixels": 63}),
    "an image of too many bytes": (zipped(PETS), {"item": 20}),
    "a file of a tar of too many bytes": (tarred(PETS), {"item": 20}),
    "more bytes than allowed": (npz(False, inputs=X), {"unpacked": 100}),
    "a tar of more bytes than allowed": (tarred(PETS), {"unpacked": 100}),
    "a zip that unpacks to too many times its size": (npz(inputs=np.zeros((300, 1, 100, 100), np.float32)), {}),
    "a tar that unpacks to too many times its size": (tarred({"0.png": bytes(5 * 2**20)}), {}),
    "no room beside the others": (npz(inputs=X), {"space": 100}),
}


@pytest.mark.parametrize("what", LARGE)
def test_what_is_too_large_is_refused_and_leaves_nothing(datasets: Datasets, what: str) -> None:
    data, limits = LARGE[what]
    with pytest.raises(InputTooLarge):
        sent(datasets, data, **limits)
    assert list(datasets.folder.iterdir()) == []


def test_a_tars_header_cannot_claim_memory(datasets: Datasets) -> None:
    """An extended header that says it is a gigabyte long; `tarfile` would read it whole."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 2**30
    data = gzip.compress(member.tobuf(tarfile.USTAR_FORMAT) + bytes(2**20))
    with pytest.raises(InvalidDataset):
        sent(datasets, data)


def test_a_zips_member_unpacks_to_no_more_than_it_says(datasets: Datasets) -> None:
    """The table of contents says 10 bytes; the data would give a million."""
    data = bytearray(zipped({"0.png": bytes(10**6)}))
    at = data.find(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 10)
    with pytest.raises(InvalidDataset):
        sent(datasets, bytes(data))


@pytest.mark.parametrize("whole", [zipped(PETS), tarred(PETS), tarred(PETS, ""), npz(inputs=X, labels=LABELS)])
def test_damaged_archives_are_refused_in_words(datasets: Datasets, whole: bytes) -> None:
    """Whatever bytes come, the answer is a dataset or an error made for clients."""
    draw = random.Random(0)
    refused = 0
    for _ in range(250):
        data = bytearray(whole[: draw.randrange(len(whole))] if draw.random() < 0.3 else whole)
        for _ in range(draw.randrange(4)):
            if data:
                data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            sent(datasets, bytes(data))
        except ExplainError:
            refused += 1
    assert refused > 100
    assert not list(datasets.folder.glob(".*"))
