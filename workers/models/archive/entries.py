"""A .pt2 archive read as the zip it is: what would be unpickled or run is refused, what was understood is copied."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from stat import S_ISLNK
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import error as zlib_error

from workers.explanation.archives.bounds import MAX_RATIO
from workers.explanation.errors import InvalidFolder
from workers.models.archive.graph_text import check_program
from workers.models.archive.payloads import check_table, pickled

BEFORE_2_7 = "serialized_exported_program.json"  # lay at the root of what older versions wrote
MAX_ENTRIES = 100_000
MAX_JSON = 128 * 2**20
MAX_NAME = 500
LOCAL_HEADER = 30  # bytes before an entry's name
PROGRAM = "models/model.json"
SAMPLE_INPUTS = "data/sample_inputs/"
PAYLOADS = {"data/weights/": "model_weights_config.json", "data/constants/": "model_constants_config.json"}
HEADERS = {"archive_format": "pt2", "archive_version": "0", "byteorder": "little", ".data/version": "6"}
PICKLES = re.compile(r".*\.(pt|pth|pkl|pickle)|data/constants/(custom|opaque)_obj_.*")


class Archive:
    """An open archive that passed every check; `entries` are the tensors that loading reads, by name under the root."""

    def __init__(self, file: ZipFile, where: str) -> None:
        self._file = file
        self._where = where
        found = self._rooted()
        self._check_kind(found)
        self.entries: dict[str, ZipInfo] = {}
        self._told: dict[str, Any] = {}  # as it came: what the digest is of
        self._json: dict[str, Any] = {}  # as it was understood: what torch gets
        sizes = {name: info.file_size for name, info in found.items()}
        for directory, config in PAYLOADS.items():
            self._told[directory + config] = told = self._load(directory + config, found)
            table = check_table(told, directory, directory + config, sizes, where)
            self._json[directory + config] = table.model_dump(exclude_unset=True)
            self.entries |= {n: found[n] for n in (directory + p.path_name for p in table.config.values())}
        program = self._load(PROGRAM, found)
        self._json[PROGRAM] = check_program(program, where)
        self._told[PROGRAM] = {**program, "guards_code": []}

    def digest(self) -> str:
        """SHA-256 over weights, constants and graph: the same whatever the zip's root, order and times."""
        total = hashlib.sha256()
        for name in sorted({*self.entries, *self._told}):
            if name in self._told:
                content = hashlib.sha256(json.dumps(self._told[name], sort_keys=True).encode()).hexdigest()
            else:
                with self._file.open(self.entries[name]) as entry:
                    content = hashlib.file_digest(entry, "sha256").hexdigest()  # type: ignore[arg-type]
            total.update(f"{name} {content}\n".encode())
        return total.hexdigest()

    def copy(self) -> io.BytesIO:
        """A fresh archive of what was understood alone, without sample inputs."""
        out = io.BytesIO()
        with ZipFile(out, "w") as fresh:
            for name, content in HEADERS.items():
                fresh.writestr(f"model/{name}", content)
            for name, info in self.entries.items():
                fresh.writestr(f"model/{name}", self._file.read(info))
            for name, value in self._json.items():
                fresh.writestr(f"model/{name}", json.dumps(value))
            fresh.writestr(f"model/{SAMPLE_INPUTS}model.pt", b"")  # the loader wants the entry, and takes it empty
        out.seek(0)
        return out

    def _rooted(self) -> dict[str, ZipInfo]:
        infos = self._file.infolist()
        if len(infos) > MAX_ENTRIES:
            raise self._wrong(f"it has {len(infos)} entries; at most {MAX_ENTRIES} are read")
        if any(info.filename == BEFORE_2_7 for info in infos):
            raise self._wrong(
                "it was written by torch before 2.7, in a form that is not read; "
                "export the model again with a later one"
            )
        found: dict[str, ZipInfo] = {}
        for info in infos:
            root, _, name = info.filename.partition("/")
            if {"", ".", ".."} & {root, *name.split("/")} or not _plain(info):
                raise self._wrong(
                    f"its entry {info.filename[:100]!r} is no plain path below the archive's root, or no plain file"
                )
            if name in found or root != infos[0].filename.partition("/")[0]:
                raise self._wrong(f"its entry {info.filename[:100]!r} comes twice or lies outside the archive's root")
            if info.file_size > MAX_RATIO * max(info.compress_size, 1024):
                raise self._wrong(f"its entry {name[:100]!r} unpacks to more than {MAX_RATIO} times its size")
            found[name] = info
        self._check_places(infos)
        return found

    def _check_places(self, infos: list[ZipInfo]) -> None:
        """No two entries share bytes: what is small on disk would unpack to as much as one likes."""
        placed = sorted(infos, key=lambda info: info.header_offset)
        starts = [*(info.header_offset for info in placed), self._file.start_dir]
        for info, (start, end) in zip(placed, pairwise(starts), strict=True):
            if start + LOCAL_HEADER + len(info.filename) + info.compress_size > end:
                raise self._wrong(f"its entry {info.filename[:100]!r} overlaps the next one")

    def _check_kind(self, found: dict[str, ZipInfo]) -> None:
        for name in found:
            if name.startswith("data/aotinductor/"):
                raise self._wrong(f"it carries compiled code ({name[:100]}), which is not run; export the graph")
            if PICKLES.fullmatch(name) and not name.startswith(SAMPLE_INPUTS):
                raise pickled(self._where, name)
        headers = {name: self._header(found[name]) for name in HEADERS if name in found}
        if headers.get("archive_format") != HEADERS["archive_format"]:
            raise self._wrong("it was not written by torch.export.save; write one with `whence export`")
        if headers.get("byteorder", "little") != "little":
            raise self._wrong("its bytes are not in little-endian order; export it on a machine of that order")
        if headers.get("archive_version", "0") != "0":
            raise self._wrong("its archive_version is not 0; write it again with `whence export`")

    def _header(self, entry: ZipInfo) -> str:
        """One of the short entries that say what the archive is."""
        with self._file.open(entry) as content:
            return content.read(100).decode("latin-1").strip()

    def _load(self, name: str, found: dict[str, ZipInfo]) -> Any:
        if name not in found:
            raise self._wrong(f"its entry {name} is missing; write the archive again with torch.export.save")
        if found[name].file_size > MAX_JSON:
            raise self._wrong(f"its entry {name} is larger than {MAX_JSON} bytes")
        try:
            return json.loads(self._file.read(found[name]))
        except (ValueError, RecursionError):
            raise self._wrong(f"its entry {name} is not JSON") from None

    def _wrong(self, detail: str) -> InvalidFolder:
        return InvalidFolder(f"{self._where}: {detail}")


def _plain(info: ZipInfo) -> bool:
    """A stored or deflated file with a printable name; what hides behind a NUL in it is none."""
    name = info.orig_filename
    return (
        len(name) <= MAX_NAME
        and name.isprintable()
        and "\\" not in name
        and info.compress_type in (ZIP_STORED, ZIP_DEFLATED)
        and not S_ISLNK(info.external_attr >> 16)
    )


@contextmanager
def open_archive(source: Path | io.BytesIO, where: str) -> Iterator[Archive]:
    """The checked archive; `where` names it in errors. Raises InvalidFolder and PickledPayload, naming the entry."""
    try:
        with ZipFile(source) as file:
            yield Archive(file, where)
    except (BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib_error) as error:
        detail = f"it is no readable zip ({type(error).__name__}); write the archive again"
        raise InvalidFolder(f"{where}: {detail}") from None
