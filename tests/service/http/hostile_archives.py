"""Hostile archives of datasets."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterator

from tests.service.http.hostile_case import DATASETS, TOO_LARGE, Evil, Hostile, archive
from tests.service.http.hostile_files import described, npy, png_of


def tape(*members: tarfile.TarInfo, data: bytes = b"", mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as file:  # type: ignore[call-overload]
        for member in members:
            member.size = len(data) if member.isreg() else 0
            file.addfile(member, io.BytesIO(data))
    return out.getvalue()


def linked(kind: bytes, name: str = "cat/a.png", to: str = "/etc/passwd") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def changed(data: bytes, mark: bytes, at: int, form: str, value: int) -> bytes:
    """A field of the first record with that mark overwritten."""
    found = bytearray(data)
    struct.pack_into(form, found, data.index(mark) + at, value)
    return bytes(found)


def archives() -> Iterator[Hostile]:
    def dataset(name: str, data: bytes, expected: frozenset[int] = TOO_LARGE) -> Hostile:
        return Hostile(
            f"dataset: {name}", "POST", DATASETS, data, {"content-type": "application/zip"}, expected=expected
        )

    pixels = png_of(8, 8)
    slips = ("../a.png", "../../etc/cron.d/x", "/etc/x.png", "cat/../../x.png", "C:\\x.png", "..\\x.png")
    for name in slips:
        yield dataset(f"zip slip {name!r}", archive({name: pixels}))
        yield dataset(f"tar slip {name!r}", tape(tarfile.TarInfo(name), data=b"no picture"))
    link = zipfile.ZipInfo("cat/a.png")
    link.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(link, "/etc/passwd")
    yield dataset("zip with a link", out.getvalue())
    kinds = {"a symbolic link": tarfile.SYMTYPE, "a hard link": tarfile.LNKTYPE, "a device": tarfile.CHRTYPE}
    for name, kind in {**kinds, "a block device": tarfile.BLKTYPE, "a pipe": tarfile.FIFOTYPE}.items():
        yield dataset(f"tar with {name}", tape(linked(kind)))
    through = linked(tarfile.SYMTYPE, "cat", "/tmp"), tarfile.TarInfo("cat/x.png")
    yield dataset("tar that writes through a link", tape(*through, data=pixels))
    bomb = archive({"inputs.npy": npy(described(shape="(100000, 1, 8, 8)"), bytes(25_600_000))})
    yield dataset("zip bomb", bomb)
    yield dataset("zip bomb of pictures", archive({f"cat/{i}.png": bytes(1_000_000) for i in range(30)}))
    yield dataset("zip in a zip", archive({"cat/a.zip": bomb}))
    yield dataset("tar.gz bomb", tape(tarfile.TarInfo("cat/a.png"), data=bytes(30_000_000), mode="w:gz"))
    yield dataset("many entries", archive({f"cat/{i}.png": b"" for i in range(900)}, zipfile.ZIP_STORED))
    yield dataset("npz of a pickle", archive({"inputs.npy": npy(described("'|O'"), pickle.dumps(Evil()))}))
    yield dataset("npz that lies of its shape", archive({"inputs.npy": npy(described(shape="(1000000000, 1, 8, 8)"))}))
    yield dataset("npz of NaN", archive({"inputs.npy": npy(described(shape="(1, 1, 8, 8)"), b"\xff" * 256)}))
    yield dataset("npz without inputs", archive({"labels.npy": npy(described())}))
    yield dataset("npz of a .pkl", archive({"inputs.pkl": pickle.dumps(Evil())}))
    yield dataset("a torch archive", archive({"a/data.pkl": pickle.dumps(Evil(), 2), "a/data/0": bytes(64)}))
    yield dataset("a .pt2 of a pickle", archive({"m/data/weights/model_weights.pt": pickle.dumps(Evil())}))
    whole = archive({"cat/a.png": pixels, "dog/b.png": pixels})
    yield dataset("zip cut", whole[: len(whole) // 2])
    yield dataset("zip without its table", whole[: whole.index(b"PK\1\2")])
    yield dataset("zip with a flag of encryption", whole.replace(b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1"))
    yield dataset("zip that says it is larger", whole.replace(struct.pack("<I", len(pixels)), b"\xff\xff\xff\x7f"))
    local, central, end = b"PK\3\4", b"PK\1\2", b"PK\5\6"
    lies = {
        "a compression that nobody reads": (central, 10, "<H", 99),
        "another checksum": (central, 16, "<I", 1),
        "strong encryption": (central, 8, "<H", 0x41),
        "an entry behind its end": (central, 42, "<I", 2**30),
        "a directory behind its end": (end, 16, "<I", 2**31),
        "a directory longer than it": (end, 12, "<I", 2**31),
    }
    for name, lie in lies.items():
        yield dataset(f"zip with {name}", changed(whole, *lie))
    yield dataset("zip whose entry has another name in its place", whole.replace(b"cat/a.png", b"../../x.p", 1))
    yield dataset("zip whose entries lie in one place", changed(whole, central, 42, "<I", whole.rindex(local)))
    yield dataset("zip of folders without end", archive({"a/" * 2000 + "x.png": pixels}))
    yield dataset("zip behind a program", b"MZ" * 5000 + whole)
    yield dataset("zip whose end is repeated", whole[:-2] + b"\xff\xff" + end * 16_000)
    yield dataset("rar", b"Rar!\x1a\x07\x00" + bytes(100))
    yield dataset("7z", b"7z\xbc\xaf\x27\x1c" + bytes(100))
    yield dataset("a pickle", pickle.dumps(Evil()))
    yield dataset("nothing", b"")
    yield dataset("pictures that are none", archive({"cat/a.png": b"\x89PNG no", "dog/b.png": b"GIF89a"}))
    yield dataset("a picture that is a bomb", archive({"cat/a.png": png_of(60_000, 60_000, 1), "dog/b.png": pixels}))
