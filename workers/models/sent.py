"""A model that came over HTTP: a zip or tar of its folder, that holds an exported archive and data, and no code."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeAlias
from zipfile import ZipFile

from workers.explanation.archives.bounds import GZIP, check_unpacked, gunzipped
from workers.explanation.archives.errors import InvalidArchive
from workers.explanation.archives.tar import BLOCK, PART, looks_like_tar, tar_members
from workers.explanation.archives.zip import ZIP, open_zip
from workers.explanation.errors import InputTooLarge, InvalidFolder
from workers.models.card_file import FILE, read_card
from workers.models.source import parse_source

MOST_FILES = 1000
LONGEST_NAME = 255  # bytes, of a path and of what is in it, as file systems have it
MOST_ENTRIES = 200_000  # what looks like one: those of the archive in the archive, one a weight, do too
Member: TypeAlias = tuple[str, int, Iterator[bytes]]


def check_sent(archive: Path, name: str, most: int) -> None:
    """Raise where it could not be unpacked, or its card names a source but a .pt2: InvalidFolder, InputTooLarge.

    `most`: bytes that it may unpack to. What the .pt2 holds is for who reads it to say.
    """
    with tempfile.TemporaryDirectory() as draft:
        unpack(archive, Path(draft) / name, most)


def unpack(archive: Path, folder: Path, most: int) -> None:
    """Make the folder of what was sent; raises InvalidFolder, InputTooLarge, OSError, and leaves nothing behind."""
    folder.mkdir()
    try:
        with _members(archive, most) as members:
            for count, (name, size, parts) in enumerate(members, 1):
                if count > MOST_FILES:
                    raise InputTooLarge(f"it holds more than {MOST_FILES} files")
                _write(folder, _plain(name), size, parts)
        _rooted(folder)
        check_data(folder)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, InvalidArchive | InvalidFolder):
            raise InvalidFolder(f"{folder.name}: {error.detail.removeprefix(folder.name + ': ')}") from None
        if isinstance(error, InputTooLarge):
            raise InputTooLarge(f"{folder.name}: {error.detail}") from None
        raise


def _write(folder: Path, path: PurePosixPath, size: int, parts: Iterator[bytes]) -> None:
    place = folder / path
    with _opened(place, path) as out:
        for part in parts:
            out.write(part)
    if place.stat().st_size != size:
        raise InvalidFolder(f"its file {path} is not of the size that the archive says")


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
def _members(archive: Path, most: int) -> Iterator[Iterator[Member]]:
    with archive.open("rb") as file:
        head, size = file.read(BLOCK), archive.stat().st_size
        file.seek(0)
        if head.startswith(ZIP):
            with open_zip(archive, MOST_ENTRIES, most) as packed, closing(_zipped(packed)) as members:
                yield members
        elif head.startswith(GZIP):
            with gunzipped(file, size, most) as stream:
                yield tar_members(stream, MOST_ENTRIES)
        elif looks_like_tar(head):
            check_unpacked(size, size, most)
            yield tar_members(file, MOST_ENTRIES)
        else:
            raise InvalidFolder("it is no readable zip or tar (.tar, .tar.gz) of a model's folder; pack it again")


def _zipped(packed: ZipFile) -> Generator[Member, None, None]:
    for info in packed.infolist():
        if not info.is_dir():
            with packed.open(info) as stream:
                yield info.filename, info.file_size, iter(partial(stream.read, PART), b"")


def _plain(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if max(len(name), *(len(part.encode()) for part in path.parts), 0) > LONGEST_NAME:
        raise InvalidFolder(f"its entry {name[:100]!r} has a longer name than {LONGEST_NAME} bytes")
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
