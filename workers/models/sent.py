"""A model that came over HTTP: a zip or tar of its folder, that holds an exported archive and data, and no code."""

from __future__ import annotations

import errno
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from stat import S_IFDIR, S_IFMT, S_IFREG
from typing import IO, BinaryIO, TypeAlias
from zlib import error as zlib_error

from workers.explanation.errors import InvalidFolder
from workers.models.card_file import FILE, read_card
from workers.models.source import parse_source

MOST_FILES = 1000
ENCRYPTED = 0x1
File: TypeAlias = tuple[PurePosixPath, int, IO[bytes]]
Files: TypeAlias = Iterator[File]
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib_error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError,
)  # fmt: skip


def check_sent(archive: Path, name: str, most: int) -> None:
    """Raise InvalidFolder, naming what is wrong, where it could not be unpacked, or its card names a source but a .pt2.

    `most`: bytes that it may unpack to. What the .pt2 holds is for who reads it to say.
    """
    with tempfile.TemporaryDirectory() as draft:
        unpack(archive, Path(draft) / name, most)


def unpack(archive: Path, folder: Path, most: int) -> None:
    """Make the folder of what was sent; raises InvalidFolder, and leaves nothing behind."""
    folder.mkdir()
    left, count = most, 0
    try:
        with _files(archive) as files:
            for path, size, stream in files:
                left, count = left - size, count + 1
                if left < 0 or count > MOST_FILES:
                    raise InvalidFolder(f"it unpacks to more than {most} bytes, or to more than {MOST_FILES} files")
                place = folder / path
                with _opened(place, path) as out:
                    shutil.copyfileobj(stream, out)
                if place.stat().st_size != size:
                    raise InvalidFolder(f"its file {path} is not of the size that the archive says")
        _rooted(folder)
        check_data(folder)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, InvalidFolder):
            raise InvalidFolder(f"{folder.name}: {error.detail.removeprefix(folder.name + ': ')}") from None
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "there is no room here to unpack it; whoever runs this Whence can make some"
            raise InvalidFolder(f"{folder.name}: {what}") from None
        if isinstance(error, _BROKEN):
            what = "it is no readable zip or tar of a model's folder"
            raise InvalidFolder(f"{folder.name}: {what} ({type(error).__name__}); pack it again") from None
        raise


def _opened(place: Path, path: PurePosixPath) -> BinaryIO:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return place.open("xb")
    except (FileExistsError, NotADirectoryError):
        raise InvalidFolder(f"its entry {str(path)[:100]!r} comes twice, or is a file and a folder") from None


def check_data(folder: Path) -> None:
    """Raise InvalidFolder where the card names a model that is no exported archive in the folder."""
    where = f"{folder.name}/{FILE}"
    source = parse_source(read_card(folder / FILE, where).model.source, where)
    if source.kind != "archive":
        raise InvalidFolder(
            f"{where}: [model] source is {source}, and over HTTP comes data alone: export the model, and send the "
            "folder that `whence export` writes"
        )


@contextmanager
def _files(archive: Path) -> Iterator[Files]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed, closing(_zipped(packed)) as files:
            yield files
    else:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            yield _tarred(tar)


def _zipped(packed: zipfile.ZipFile) -> Generator[File, None, None]:
    for info in packed.infolist():
        if S_IFMT(info.external_attr >> 16) not in (0, S_IFREG, S_IFDIR):
            raise InvalidFolder("it holds a link or a device; it may hold plain files alone")
        if info.flag_bits & ENCRYPTED:
            raise InvalidFolder("it is encrypted; pack it without a password")
        if not info.is_dir():
            with packed.open(info) as stream:
                yield _plain(info.filename), info.file_size, stream


def _tarred(tar: tarfile.TarFile) -> Files:
    for member in tar:
        if not (member.isfile() or member.isdir()) or member.issparse():
            raise InvalidFolder("it holds a link or a device; it may hold plain files alone")
        if member.isfile():
            stream = tar.extractfile(member)
            assert stream is not None
            yield _plain(member.name), member.size, stream


def _plain(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or not name.isprintable():
        raise InvalidFolder(f"its entry {name[:100]!r} is no plain path in the folder")
    return path


def _rooted(folder: Path) -> None:
    """What was packed with the folder itself is taken out of it."""
    inside = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    if not (folder / FILE).exists() and len(inside) == 1 and (inside[0] / FILE).exists():
        held = folder.with_name(folder.name + ".held")
        inside[0].replace(held)
        shutil.rmtree(folder)
        held.replace(folder)
