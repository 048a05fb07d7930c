"""Which files are meant by the names on a command line: files, globs and folders."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from whence.inputs import MEDIA


class NoSuchFiles(Exception):
    """A name that stands for nothing that could be explained; the message is for people."""


def named_files(names: Sequence[str]) -> list[Path]:
    """Each file once, in the order of the names; of a folder all images and tensors in it and below.

    Raises NoSuchFiles.
    """
    found = [file for name in names for file in _files(name)]
    return list(dict.fromkeys(found))


def labels(files: Sequence[Path]) -> list[str]:
    """A name for each file that none of the others has: its stem where that will do, else with its folders."""
    stems = [file.stem for file in files]
    if len(set(stems)) == len(stems):
        return stems
    whole = [file.resolve() for file in files]
    shared = len(Path(*_common(whole)).parts)
    named = ["-".join(file.with_suffix("").parts[shared:]) for file in whole]
    return named if len(set(named)) == len(named) else ["-".join(file.parts[shared:]) for file in whole]


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in MEDIA)
        if not inside:
            raise NoSuchFiles(f"{name} holds no image and no tensor ({', '.join(sorted(MEDIA))})")
        return inside
    matched = [Path(one) for one in sorted(glob.glob(name, recursive=True))]
    found = [file for file in matched if file.is_file()]
    if not found:
        raise NoSuchFiles(f"there is no file, folder or match for {name}")
    return found


def _common(files: Sequence[Path]) -> list[str]:
    shared = []
    for parts in zip(*(file.parent.parts for file in files), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared
