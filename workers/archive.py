"""A .pt2 archive read as the zip it is: what would be unpickled or run is refused, what loading needs is copied out."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as zlib_error

from workers.errors import InvalidFolder, PickledPayload
from workers.serialized import check_program

MAX_ENTRIES = 100_000
MAX_RATIO = 100
MAX_JSON = 512 * 2**20
PROGRAM = "models/model.json"
SAMPLE_INPUTS = "data/sample_inputs/"
PAYLOADS = {"data/weights/": "model_weights_config.json", "data/constants/": "model_constants_config.json"}
HEADERS = ("archive_format", "archive_version", "byteorder", ".data/version")
PICKLES = re.compile(r".*\.(pt|pth|pkl|pickle)|data/constants/(custom|opaque)_obj_.*")


class Archive:
    """An open archive that passed every check; `entries` are those that loading reads, by name under the root."""

    def __init__(self, file: ZipFile, where: str) -> None:
        self._file = file
        self._where = where
        found = self._rooted()
        self._refuse_code(found)
        self._json: dict[str, Any] = {}
        self.entries = {name: found[name] for name in HEADERS if name in found}
        for directory, config in PAYLOADS.items():
            self._take_payloads(directory, directory + config, found)
        self._json[PROGRAM] = check_program(self._load(PROGRAM, found), where)

    def digest(self) -> str:
        """SHA-256 over weights, constants and graph: the same whatever the zip's root, order and times."""
        total = hashlib.sha256()
        for name in sorted({*self.entries, *self._json} - set(HEADERS)):
            if name in self._json:
                content = hashlib.sha256(json.dumps(self._json[name], sort_keys=True).encode()).hexdigest()
            else:
                with self._file.open(self.entries[name]) as entry:
                    content = hashlib.file_digest(entry, "sha256").hexdigest()  # type: ignore[arg-type]
            total.update(f"{name} {content}\n".encode())
        return total.hexdigest()

    def copy(self) -> io.BytesIO:
        """A fresh archive of the checked entries alone, without sample inputs."""
        out = io.BytesIO()
        with ZipFile(out, "w") as fresh:
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
        found: dict[str, ZipInfo] = {}
        for info in infos:
            root, _, name = info.filename.partition("/")
            if root in ("", ".", "..") or {"", ".", ".."} & set(name.split("/")) or "\\" in name:
                raise self._wrong(f"its entry {info.filename[:100]!r} is no plain path below the archive's root")
            if name in found or root != infos[0].filename.partition("/")[0]:
                raise self._wrong(f"its entry {info.filename[:100]!r} comes twice or lies outside the archive's root")
            if info.file_size > MAX_RATIO * max(info.compress_size, 1024):
                raise self._wrong(f"its entry {name[:100]!r} unpacks to more than {MAX_RATIO} times its size")
            found[name] = info
        return found

    def _refuse_code(self, found: dict[str, ZipInfo]) -> None:
        for name in found:
            if name.startswith("data/aotinductor/"):
                raise self._wrong(f"it carries compiled code ({name[:100]}), which is not run; export the graph")
            if PICKLES.fullmatch(name) and not name.startswith(SAMPLE_INPUTS):
                raise self._pickled(name)
        if found.get("archive_format") is None or self._file.read(found["archive_format"]).strip() != b"pt2":
            raise self._wrong("it was not written by torch.export.save; write one with `whence export`")

    def _take_payloads(self, directory: str, config_name: str, found: dict[str, ZipInfo]) -> None:
        config = self._load(config_name, found)
        tensors = config.get("config") if isinstance(config, dict) else None
        if not isinstance(tensors, dict) or not all(isinstance(meta, dict) for meta in tensors.values()):
            raise self._wrong(f"its entry {config_name} has no table of tensors")
        for tensor, meta in tensors.items():
            if meta.get("use_pickle") is not False:
                raise self._pickled(f"{directory}{meta.get('path_name')} (the tensor {tensor})")
            name = f"{directory}{meta.get('path_name')}"
            if PurePosixPath(name).parent.as_posix() + "/" != directory or name not in found:
                raise self._wrong(f"its entry {name[:100]!r}, for the tensor {tensor[:100]!r}, is missing")
            self.entries[name] = found[name]
        self._json[config_name] = config

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

    def _pickled(self, entry: str) -> PickledPayload:
        return PickledPayload(
            f"{self._where}: its entry {entry[:200]} could only be read by unpickling, which may run any code; "
            "export a model of plain tensors"
        )


@contextmanager
def open_archive(source: Path | io.BytesIO, where: str) -> Iterator[Archive]:
    """The checked archive; `where` names it in errors. Raises InvalidFolder and PickledPayload, naming the entry."""
    try:
        with ZipFile(source) as file:
            yield Archive(file, where)
    except (BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib_error) as error:
        detail = f"it is no readable zip ({type(error).__name__}); write the archive again"
        raise InvalidFolder(f"{where}: {detail}") from None
